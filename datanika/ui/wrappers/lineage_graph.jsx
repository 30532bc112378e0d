// Lineage: a canvas, a search, and beside them in words what is chosen. The same as a list for
// those who do not see the canvas.
import { useCallback, useEffect, useId, useMemo, useRef, useState } from "react";
import { Link } from "react-router";
import { LineageCanvas } from "./lineage_canvas.jsx";
import { around, readAround, readColumns, readMap, readPath } from "./lineage_data.js";
import { layOut } from "./lineage_layout.js";
import { kindColour } from "./lineage_paint.js";

const FOUND = 12;
const LISTED = 200;
const MAX_SHOWN = 60;
const EMPTY = { nodes: [], edges: [], selected: -1, near: null, columns: null };

const fullName = (node) => (node.schema ? `${node.schema}.${node.name}` : node.name);

function sceneOf(members, all, path, open, columns) {
  const places = new Map(members.map((key, index) => [key, index]));
  const nodes = members.map((key) => {
    const raw = all.get(key);
    const onPath = path?.columns.get(key);
    const own = open.has(key) ? (columns.get(raw.entry) ?? []).slice(0, MAX_SHOWN) : [];
    return {
      ...raw,
      shown: [...new Set([...own, ...(onPath ?? [])])],
      ins: raw.from.filter((one) => places.has(one)).map((one) => places.get(one)),
      outs: raw.into.filter((one) => places.has(one)).map((one) => places.get(one)),
      x: 0, y: 0, h: 0,
    };
  });
  const edges = path
    ? path.edges
        .filter((edge) => places.has(edge.source.table) && places.has(edge.target.table))
        .map((edge) => ({
          from: places.get(edge.source.table), fromColumn: edge.source.column,
          to: places.get(edge.target.table), toColumn: edge.target.column, kind: edge.kind,
        }))
    : nodes.flatMap((node, from) => node.outs.map((to) => ({ from, to })));
  return { nodes, edges, places };
}

function Names({ title, keys, all, onChoose, number }) {
  if (!keys.length) return null;
  return (
    <div>
      <h3>{title} <span className="muted">{number.format(keys.length)}</span></h3>
      <ul className="lineage-names">
        {keys.slice(0, 40).map((key) => (
          <li key={key}>
            <button type="button" onClick={() => onChoose(key)} dir="ltr">
              <span className="lineage-kind" style={{ background: `var(${kindColour(all.get(key).kind)})` }} />
              {fullName(all.get(key))}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

export function LineageGraph({ api, entryId, column, connections, texts, locale, onColumn }) {
  const id = useId();
  const canvas = useRef(null);
  const [all, setAll] = useState(null);
  const [size, setSize] = useState(0);
  const [failed, setFailed] = useState("");
  const [query, setQuery] = useState("");
  const [schema, setSchema] = useState("");
  const [chosen, setChosen] = useState(null);
  const [focused, setFocused] = useState(null);
  const [open, setOpen] = useState(() => new Set());
  const [columns, setColumns] = useState(() => new Map());
  const [path, setPath] = useState(null);
  const [asList, setAsList] = useState(false);
  const [laid, setLaid] = useState(EMPTY);
  const number = useMemo(() => new Intl.NumberFormat(locale || "en"), [locale]);
  const own = useMemo(
    () => (all && entryId ? [...all.values()].find((node) => node.entry === entryId)?.key : null),
    [all, entryId],
  );

  useEffect(() => {
    let isCurrent = true;
    setAll(null);
    setPath(null);
    (entryId ? readAround(api, entryId) : readMap(api, (count) => isCurrent && setSize(count)))
      .then((found) => isCurrent && setAll(found))
      .catch((error) => isCurrent && setFailed(String(error.message)));
    return () => { isCurrent = false; };
  }, [api, entryId]);

  const needColumns = useCallback(
    async (key) => {
      const entry = all?.get(key)?.entry;
      if (!entry || columns.has(entry)) return;
      const names = await readColumns(api, entry).catch(() => []);
      setColumns((before) => new Map(before).set(entry, names));
    },
    [all, api, columns],
  );
  useEffect(() => {
    if (!own) return;
    setChosen(own);
    setOpen(new Set([own]));
  }, [own]);
  useEffect(() => {
    if (chosen) needColumns(chosen);
  }, [chosen, needColumns]);

  const showPath = useCallback(
    async (entry, name) => {
      try {
        setPath(await readPath(api, entry, name));
        setFocused(null);
      } catch (error) {
        setFailed(String(error.message));
      }
    },
    [api],
  );
  useEffect(() => {
    if (!own) return;
    if (column) showPath(entryId, column);
    else setPath(null);
  }, [column, own, entryId, showPath]);

  const members = useMemo(() => {
    if (!all) return [];
    if (path) return [...path.columns.keys()].filter((key) => all.has(key));
    if (focused) return [...around(all, focused)];
    const keys = [...all.keys()];
    if (!schema) return keys;
    const inside = new Set(keys.filter((key) => all.get(key).schema === schema));
    return keys.filter(
      (key) => inside.has(key) || all.get(key).from.some((one) => inside.has(one)) || all.get(key).into.some((one) => inside.has(one)),
    );
  }, [all, path, focused, schema]);

  const membersShown = useRef(null);
  const wish = useRef(null);
  useEffect(() => {
    if (!all) return undefined;
    let isCurrent = true;
    const scene = sceneOf(members, all, path, open, columns);
    const begin = performance.now();
    layOut(scene.nodes, () => isCurrent).then((done) => {
      if (!done || !isCurrent) return;
      scene.seconds = (performance.now() - begin) / 1000;
      scene.isOther = membersShown.current !== members;
      membersShown.current = members;
      setLaid(scene);
    });
    return () => { isCurrent = false; };
  }, [all, members, path, open, columns]);

  // Other tables than before: all of them, or the one that was asked for.
  useEffect(() => {
    if (!laid.isOther) return;
    const at = laid.places.get(wish.current);
    wish.current = null;
    if (at === undefined) canvas.current?.fit();
    else canvas.current?.show(at);
  }, [laid]);

  const scene = useMemo(() => {
    const selected = chosen ? (laid.places?.get(chosen) ?? -1) : -1;
    let near = null;
    if (selected >= 0 && !path && !entryId && laid.places)
      near = new Set([...around(all, chosen)].map((key) => laid.places.get(key)).filter((at) => at !== undefined));
    return { ...laid, selected, near, columns: path?.columns ?? null };
  }, [laid, chosen, path, all, entryId]);

  const choose = (key, isMoving = true) => {
    setChosen(key);
    setQuery("");
    if (!key || !isMoving) return;
    if (laid.places && !laid.places.has(key)) {
      setPath(null);
      setFocused(null);
      setSchema("");
      wish.current = key;
    } else canvas.current?.show(laid.places?.get(key) ?? -1);
  };
  const chooseColumn = (key, name) => {
    const node = all.get(key);
    setChosen(key);
    if (!node.entry) return;
    if (node.entry === entryId) onColumn?.(name);
    else showPath(node.entry, name);
  };
  const step = ([dx, dy]) => {
    const node = scene.nodes[scene.selected];
    if (dx) {
      const next = (dx < 0 ? node.ins : node.outs)[0];
      if (next !== undefined) choose(scene.nodes[next].key);
      return;
    }
    const beside = scene.nodes
      .filter((other) => other.x === node.x && Math.sign(other.y - node.y) === dy)
      .sort((a, b) => Math.abs(a.y - node.y) - Math.abs(b.y - node.y))[0];
    if (beside) choose(beside.key);
  };
  const back = () => {
    setPath(null);
    setFocused(null);
    if (entryId) onColumn?.("");
  };

  const schemas = useMemo(() => [...new Set([...(all?.values() ?? [])].map((node) => node.schema))].filter(Boolean).sort(), [all]);
  const wanted = query.trim().toLowerCase();
  const hits = useMemo(() => {
    if (!wanted || !all) return [];
    const found = [];
    for (const node of all.values()) {
      if (fullName(node).toLowerCase().includes(wanted)) found.push(node);
      if (found.length >= FOUND) break;
    }
    return found;
  }, [wanted, all]);
  const listed = useMemo(
    () => (asList && all ? members.filter((key) => !wanted || fullName(all.get(key)).toLowerCase().includes(wanted)) : []),
    [asList, all, members, wanted],
  );

  if (failed) return <p className="log-empty" role="alert">{texts["lineage.failed"]} ({failed})</p>;
  if (!all)
    return (
      <div className="lineage-wait" role="status">
        <span className="spinner" aria-hidden="true" />
        {texts["frame.loading"]} {size > 0 && number.format(size)}
      </div>
    );
  if (!all.size) return <p className="log-empty">{texts["lineage.none"]}</p>;
  const node = chosen ? all.get(chosen) : null;
  const names = node?.entry ? columns.get(node.entry) : null;
  return (
    <div className={entryId ? "lineage is-small" : "lineage"}>
      <div className="toolbar">
        {!entryId && (
          <>
            <div className="lineage-search grow">
              <input
                className="input"
                type="search"
                role="combobox"
                aria-expanded={hits.length > 0 && !asList}
                aria-controls={`${id}hits`}
                aria-label={texts["lineage.search"]}
                placeholder={texts["lineage.search"]}
                value={query}
                onChange={(event) => setQuery(event.target.value)}
                onKeyDown={(event) => event.key === "Enter" && hits[0] && choose(hits[0].key)}
              />
              <ul id={`${id}hits`} role="listbox" aria-label={texts["lineage.search"]} hidden={asList || !hits.length}>
                {hits.map((hit) => (
                  <li key={hit.key} role="option" aria-selected="false" dir="ltr" onMouseDown={() => choose(hit.key)}>
                    <span className="lineage-kind" style={{ background: `var(${kindColour(hit.kind)})` }} />
                    {fullName(hit)}
                  </li>
                ))}
              </ul>
            </div>
            <select
              className="select"
              aria-label={texts["catalog.schema"]}
              value={schema}
              onChange={(event) => { setPath(null); setFocused(null); setSchema(event.target.value); }}
            >
              <option value="">{texts["catalog.all_schemas"]}</option>
              {schemas.map((one) => <option key={one} value={one}>{one}</option>)}
            </select>
          </>
        )}
        {(path || focused) && (
          <button type="button" className="button" onClick={back}>{texts["lineage.back"]}</button>
        )}
        <button type="button" className="button" aria-pressed={asList} onClick={() => setAsList(!asList)}>
          {asList ? texts["lineage.as_graph"] : texts["lineage.as_list"]}
        </button>
        <span className="row lineage-zoom">
          <button type="button" className="icon-button" aria-label={texts["lineage.zoom_in"]} onClick={() => canvas.current?.zoom(1.3)}>+</button>
          <button type="button" className="icon-button" aria-label={texts["lineage.zoom_out"]} onClick={() => canvas.current?.zoom(0.77)}>−</button>
          <button type="button" className="icon-button" aria-label={texts["lineage.fit"]} onClick={() => canvas.current?.fit()}>⤢</button>
        </span>
        <span className="muted lineage-count" role="status" data-layout-seconds={laid.seconds?.toFixed(3)}>
          {number.format(laid.nodes.length)} {texts["lineage.tables"]} · {number.format(laid.edges.length)} {texts["lineage.links"]}
        </span>
      </div>
      <div className="lineage-body">
        {asList ? (
          <div className="table-wrap lineage-list" tabIndex={0} role="region" aria-label={texts["lineage.as_list"]}>
            <table>
              <thead>
                <tr>
                  <th scope="col">{texts["column.name"]}</th>
                  <th scope="col">{texts["column.kind"]}</th>
                  <th scope="col" className="end">{texts["lineage.reads"]}</th>
                  <th scope="col" className="end">{texts["lineage.read_by"]}</th>
                </tr>
              </thead>
              <tbody>
                {listed.slice(0, LISTED).map((key) => (
                  <tr key={key}>
                    <td><button type="button" className="link-button" dir="ltr" onClick={() => choose(key, false)}>{fullName(all.get(key))}</button></td>
                    <td className="muted">{all.get(key).kind}</td>
                    <td className="end">{number.format(all.get(key).from.length)}</td>
                    <td className="end">{number.format(all.get(key).into.length)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
            {listed.length > LISTED && <p className="log-empty">{texts["lineage.more"]}</p>}
          </div>
        ) : (
          <div className="lineage-canvas" dir="ltr">
            <LineageCanvas
              ref={canvas}
              scene={scene}
              label={texts["lineage.title"]}
              describedBy={`${id}help`}
              zoomsAlways={!entryId}
              onNode={(index) => (index < 0 ? setChosen(null) : setChosen(scene.nodes[index].key))}
              onColumn={(index, name) => chooseColumn(scene.nodes[index].key, name)}
              onStep={step}
            />
            <p id={`${id}help`} className="lineage-help">{texts["lineage.help"]}</p>
          </div>
        )}
        {node && (
          <aside className="lineage-side" aria-label={fullName(node)}>
            <h2 dir="ltr">{fullName(node)}</h2>
            <p className="muted">{node.kind} · {connections?.[node.connection] ?? ""}</p>
            <div className="row">
              {node.entry && node.entry !== entryId && (
                <Link className="button" to={`/catalog/${node.entry}`}>{texts["lineage.open"]}</Link>
              )}
              {!entryId && focused !== chosen && (
                <button type="button" className="button" onClick={() => { setPath(null); setFocused(chosen); }}>
                  {texts["lineage.focus"]}
                </button>
              )}
            </div>
            {path && (
              <ul className="lineage-legend">
                {[...new Set(path.edges.map((edge) => edge.kind))].map((kind) => (
                  <li key={kind} className={`is-${kind}`}>{kind}</li>
                ))}
              </ul>
            )}
            {names?.length > 0 && (
              <div>
                <h3>
                  {texts["catalog.columns"]} <span className="muted">{number.format(names.length)}</span>
                  <button
                    type="button" className="link-button" aria-pressed={open.has(chosen)}
                    onClick={() => setOpen((before) => {
                      const after = new Set(before);
                      if (!after.delete(chosen)) after.add(chosen);
                      return after;
                    })}
                  >
                    {open.has(chosen) ? texts["lineage.close_columns"] : texts["lineage.open_columns"]}
                  </button>
                </h3>
                <ul className="lineage-names">
                  {names.slice(0, 200).map((name) => (
                    <li key={name}>
                      <button
                        type="button" dir="ltr" className="mono"
                        aria-pressed={path?.entry === node.entry && path?.column === name}
                        onClick={() => chooseColumn(chosen, name)}
                      >
                        {name}
                      </button>
                    </li>
                  ))}
                </ul>
              </div>
            )}
            <Names title={texts["lineage.reads"]} keys={node.from} all={all} onChoose={choose} number={number} />
            <Names title={texts["lineage.read_by"]} keys={node.into} all={all} onChoose={choose} number={number} />
          </aside>
        )}
      </div>
    </div>
  );
}
