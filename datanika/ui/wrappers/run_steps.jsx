// Steps, tables and dbt nodes as a Gantt chart, and what is proven of each table.
import { useEffect, useState } from "react";
import { compact, fill, whole } from "$/public/external/datanika/ui/wrappers/island/island.js";
import { Duration } from "$/public/external/datanika/ui/wrappers/values/values.jsx";

const SHOWN = 60;
const VERDICTS = { exact: "succeeded", empty: "succeeded", "not loaded": "pending" };

export const Badge = ({ state, text }) => (
  <span className={`badge is-${state}`}>
    <span className="dot" aria-hidden="true" />
    {text ?? state}
  </span>
);

const time = (value, otherwise) => (value ? new Date(value).getTime() : otherwise);
const byStart = (a, b) => time(a.started_at, Infinity) - time(b.started_at, Infinity) || 0;

// The time now, told again every half second while `isLive`.
export function useNow(isLive) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    setNow(Date.now());
    if (!isLive) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [isLive]);
  return now;
}

export function Speed({ step, locale, texts }) {
  if (!step.rows_per_second || step.kind === "test") return null;
  return (
    <span className="speed">
      {fill(texts["run.rows_per_second"], { rows: compact(step.rows_per_second, locale) })}
    </span>
  );
}

export function Progress({ step, texts }) {
  if (step.state !== "running" || !step.rows_total) return null;
  const share = Math.min(1, (step.rows ?? 0) / step.rows_total);
  return (
    <progress
      className="progress"
      max="100"
      value={Math.round(share * 100)}
      aria-label={texts["run.progress"]}
    />
  );
}

function Bar({ step, begin, end }) {
  const from = time(step.started_at);
  if (!from || end <= begin) return <div className="bar-track" aria-hidden="true" />;
  const left = Math.max(0, Math.min(99, ((from - begin) / (end - begin)) * 100));
  const right = Math.min(100, ((time(step.finished_at, end) - begin) / (end - begin)) * 100);
  const style = { left: `${left}%`, width: `${Math.max(0.6, right - left)}%` };
  return (
    <div className="bar-track" aria-hidden="true" dir="ltr">
      <div className={`bar is-${step.state}`} style={style} />
    </div>
  );
}

function StepLine({ step, begin, end, onSelect, locale, texts }) {
  return (
    <tr className={step.node ? "depth-1" : "depth-0"}>
      <td>
        <button type="button" className="link" onClick={() => onSelect(step)} dir="ltr">
          {step.name || step.node || step.step_key}
        </button>
        {step.error_message && <span className="error" dir="auto">{step.error_message}</span>}
      </td>
      <td className="muted">{step.kind}</td>
      <td>
        <Badge state={step.state} />
      </td>
      <td>
        <Bar {...{ step, begin, end }} />
      </td>
      <td className="end">
        <Duration
          start={step.started_at}
          end={step.finished_at}
          seconds={step.finished_at ? step.duration_seconds : null}
          locale={locale}
        />
      </td>
      <td className="end number">
        {step.rows == null ? <span className="muted">–</span> : whole(step.rows, locale)}
        {step.rows != null && step.rows_total > step.rows && step.state === "running" && (
          <span className="muted"> / {whole(step.rows_total, locale)}</span>
        )}
        <Progress {...{ step, texts }} />
        <Speed {...{ step, locale, texts }} />
      </td>
    </tr>
  );
}

export function StepTable({ steps, run, isLive, onSelect, locale, texts }) {
  const [open, setOpen] = useState({});
  const [withTests, setWithTests] = useState(false);
  const now = useNow(isLive);
  const begin = time(run.started_at, now);
  const end = time(run.finished_at, now);
  const hasTests = steps.some((step) => step.kind === "test");
  const lines = [];
  for (const parent of steps.filter((step) => !step.node).sort(byStart)) {
    lines.push(parent);
    const inside = steps.filter(
      (step) =>
        step.node &&
        step.step_key === parent.step_key &&
        // A test that did not pass is always told.
        (withTests || step.kind !== "test" || ["failed", "warned"].includes(step.state)),
    );
    inside.sort(byStart);
    const isOpen = open[parent.step_key] || inside.length <= SHOWN;
    lines.push(...(isOpen ? inside : inside.slice(0, SHOWN)));
    if (!isOpen) lines.push({ more: inside.length - SHOWN, of: parent.step_key });
  }
  return (
    <section className="card steps">
      <div className="card-head">
        <h2>{texts["run.steps"]}</h2>
        {hasTests && (
          <label className="check small">
            <input type="checkbox" checked={withTests} onChange={() => setWithTests(!withTests)} />
            <span>{texts["run.with_tests"]}</span>
          </label>
        )}
      </div>
      <div className="table-wrap" tabIndex={0} role="region" aria-label={texts["run.steps"]}>
        <table>
          <thead>
            <tr>
              <th scope="col">{texts["column.name"]}</th>
              <th scope="col">{texts["column.kind"]}</th>
              <th scope="col">{texts["column.state"]}</th>
              <th scope="col">{texts["column.timeline"]}</th>
              <th scope="col" className="end">{texts["column.duration"]}</th>
              <th scope="col" className="end">{texts["column.rows"]}</th>
            </tr>
          </thead>
          <tbody>
            {lines.map((step) =>
              step.more ? (
                <tr key={`more ${step.of}`}>
                  <td colSpan="6">
                    <button
                      type="button"
                      className="button"
                      onClick={() => setOpen({ ...open, [step.of]: true })}
                    >
                      {fill(texts["run.show_more"], { count: whole(step.more, locale) })}
                    </button>
                  </td>
                </tr>
              ) : (
                <StepLine
                  key={`${step.step_key}/${step.node}`}
                  {...{ step, begin, end, onSelect, locale, texts }}
                />
              ),
            )}
          </tbody>
        </table>
      </div>
    </section>
  );
}

export function SchemaChanges({ changes }) {
  return (
    <ul className="changes" dir="ltr">
      {changes.map((one) => (
        <li key={one.column} className={`change-${one.change}`}>
          <code>{{ added: "+", removed: "−", retyped: "~" }[one.change]} {one.column}</code>{" "}
          <span className="muted">{[one.before, one.after].filter(Boolean).join(" → ")}</span>
        </li>
      ))}
    </ul>
  );
}

// What was counted at both ends, and what stays in the destination whatever became of the run.
export function Verdicts({ steps, onSelect, locale, texts }) {
  const told = steps.filter(
    (step) =>
      step.node &&
      step.kind !== "test" &&
      (step.details.verdict || step.details.committed != null || step.schema_changes.length),
  );
  if (!told.length) return null;
  const number = (value) => (value == null ? <span className="muted">–</span> : whole(value, locale));
  return (
    <section className="card verdicts">
      <div className="card-head">
        <h2>{texts["run.verdicts"]}</h2>
        <span className="muted">{texts["run.verdicts_text"]}</span>
      </div>
      <div className="table-wrap" tabIndex={0} role="region" aria-label={texts["run.verdicts"]}>
        <table>
          <thead>
            <tr>
              <th scope="col">{texts["column.name"]}</th>
              <th scope="col" className="end">{texts["run.in_source"]}</th>
              <th scope="col" className="end">{texts["run.loaded"]}</th>
              <th scope="col" className="end">{texts["run.quarantined"]}</th>
              <th scope="col" className="end">{texts["run.in_destination"]}</th>
              <th scope="col">{texts["run.verdict"]}</th>
              <th scope="col">{texts["run.committed"]}</th>
            </tr>
          </thead>
          <tbody>
            {told.map((step) => (
              <tr key={`${step.step_key}/${step.node}`}>
                <td>
                  <button type="button" className="link" onClick={() => onSelect(step)} dir="ltr">
                    {step.name || step.node}
                  </button>
                  {step.schema_changes.length > 0 && <SchemaChanges changes={step.schema_changes} />}
                </td>
                <td className="end number">{number(step.details.source_rows)}</td>
                <td className="end number">{number(step.details.loaded_rows)}</td>
                <td className="end number">{number(step.details.quarantined_rows)}</td>
                <td className="end number">{number(step.details.destination_rows_after)}</td>
                <td>
                  {step.details.verdict && (
                    <Badge
                      state={VERDICTS[step.details.verdict] ?? "warned"}
                      text={step.details.verdict}
                    />
                  )}
                </td>
                <td>
                  {step.details.committed == null ? (
                    <span className="muted">–</span>
                  ) : (
                    <span className={step.details.committed ? "tone-ok" : "tone-warn"}>
                      {step.details.committed ? texts["run.yes"] : texts["run.no"]}
                    </span>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
