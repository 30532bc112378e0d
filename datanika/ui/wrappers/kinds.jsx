// How each kind of connection looks: a sign of ours and a colour, and the shelf it stands on.
import {
  Archive, Bird, Box, Braces, ChartColumn, ChartLine, CircleDot, Cloud, CreditCard, Database, Feather,
  FileJson, FileSpreadsheet, Fish, Funnel, GitPullRequest, Grid3x3, Hash, Headset, Hexagon, Layers,
  Leaf, LifeBuoy, Magnet, Megaphone, MousePointerClick, NotebookText, Orbit, Plug, Server, Sheet,
  ShoppingBag, Snowflake, SquareKanban, Sun, Waypoints,
} from "lucide-react";

const LOOKS = {
  postgres: [Database, "#33679a", "databases"],
  mysql: [Fish, "#00708f", "databases"],
  mssql: [Server, "#b0302b", "databases"],
  oracle: [Sun, "#b8332a", "databases"],
  sqlite: [Feather, "#0b6394", "databases"],
  mongodb: [Leaf, "#1d7a4a", "databases"],
  duckdb: [Bird, "#8a6a00", "warehouses"],
  clickhouse: [ChartColumn, "#8a6400", "warehouses"],
  bigquery: [Hexagon, "#2f66c4", "warehouses"],
  snowflake: [Snowflake, "#147ba6", "warehouses"],
  redshift: [Box, "#7b3fbf", "warehouses"],
  databricks: [Layers, "#bf4426", "warehouses"],
  synapse: [Orbit, "#1767ad", "warehouses"],
  files: [FileSpreadsheet, "#0d6e6e", "files"],
  s3: [Archive, "#a5541b", "files"],
  google_sheets: [Sheet, "#187a45", "files"],
  kafka: [Waypoints, "#4a4f5c", "apis"],
  rest_api: [Braces, "#5b4cc4", "apis"],
  openapi: [FileJson, "#4d7515", "apis"],
  stripe: [CreditCard, "#5a50d6", "saas"],
  github: [GitPullRequest, "#3d4450", "saas"],
  hubspot: [Magnet, "#b5502f", "saas"],
  salesforce: [Cloud, "#0f76b8", "saas"],
  shopify: [ShoppingBag, "#4f7a2a", "saas"],
  jira: [SquareKanban, "#1f5fc4", "saas"],
  slack: [Hash, "#6b2a6e", "saas"],
  zendesk: [LifeBuoy, "#2c5f53", "saas"],
  pipedrive: [Funnel, "#1f7a3f", "saas"],
  freshdesk: [Headset, "#23785c", "saas"],
  asana: [CircleDot, "#c04a5c", "saas"],
  airtable: [Grid3x3, "#a36a00", "saas"],
  notion: [NotebookText, "#4a4a46", "saas"],
  facebook_ads: [Megaphone, "#2563c9", "saas"],
  google_analytics: [ChartLine, "#a85a00", "saas"],
  google_ads: [MousePointerClick, "#2e6b3e", "saas"],
};

export const SHELVES = ["databases", "warehouses", "files", "apis", "saas"];

export const shelfOf = (kind) => LOOKS[kind]?.[2] ?? "saas";

export function KindIcon({ kind, large }) {
  const [Sign, colour] = LOOKS[kind] ?? [Plug, "#5b6472"];
  return (
    <span className={large ? "kind-icon large" : "kind-icon"} style={{ "--kind": colour }} aria-hidden="true">
      <Sign />
    </span>
  );
}
