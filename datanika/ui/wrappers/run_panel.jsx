// Everything about one step, table or dbt node.
import { useEffect, useRef } from "react";
import { whole } from "$/public/external/datanika/ui/wrappers/island/island.js";
import { Duration, LocalTime } from "$/public/external/datanika/ui/wrappers/values/values.jsx";
import {
  Badge,
  Progress,
  SchemaChanges,
  Speed,
} from "$/public/external/datanika/ui/wrappers/run_live/run_steps.jsx";

const LINES = 30;

// The last lines of its log.
function tail(log, step) {
  const found = [];
  for (let at = log.rows.length - 1; at >= 0 && found.length < LINES; at -= 1) {
    const { line, text } = log.rows[at];
    if (step.node ? line.node === step.node : line.step_key === step.step_key)
      found.push([log.dropped + at, line.level, text]);
  }
  return found.reverse();
}

export function StepPanel({ step, log, onClose, onLog, locale, texts }) {
  const element = useRef(null);
  useEffect(() => element.current?.focus(), [step.step_key, step.node]);
  const lines = tail(log, step);
  const facts = [
    [texts["column.kind"], step.kind],
    [texts["run.step"], <span dir="ltr">{step.step_key}</span>],
    [texts["column.started"], <LocalTime value={step.started_at} locale={locale} withDate={false} />],
    [
      texts["column.duration"],
      <Duration
        start={step.started_at}
        end={step.finished_at}
        seconds={step.finished_at ? step.duration_seconds : null}
        locale={locale}
      />,
    ],
    step.rows != null && [
      texts["column.rows"],
      <>
        {whole(step.rows, locale)} <Speed {...{ step, locale, texts }} />
        <Progress {...{ step, texts }} />
      </>,
    ],
    step.relation && [texts["run.relation"], <code dir="ltr">{step.relation}</code>],
    step.details.verdict && [texts["run.verdict"], step.details.verdict],
    step.details.write_disposition && [texts["run.write"], step.details.write_disposition],
    step.details.materialized && [texts["run.materialized"], step.details.materialized],
    step.details.path && [texts["run.path"], step.details.path],
    step.details.left_out && [texts["run.left_out"], step.details.note || step.details.left_out],
  ].filter(Boolean);
  return (
    <aside
      ref={element}
      className="card step-panel"
      tabIndex={-1}
      aria-label={step.name || step.step_key}
      onKeyDown={(event) => event.key === "Escape" && onClose()}
    >
      <div className="card-head">
        <h2 dir="ltr">{step.name || step.node || step.step_key}</h2>
        <Badge state={step.state} />
        <button type="button" className="icon-button" aria-label={texts["dialog.close"]} onClick={onClose}>
          ✕
        </button>
      </div>
      <div className="step-panel-body">
        {step.error_message && (
          <div className="notice bad">
            <pre dir="auto">{step.error_message}</pre>
            {step.error_hint && <p dir="auto">{step.error_hint}</p>}
            {step.error_code && <code className="muted">{step.error_code}</code>}
          </div>
        )}
        <dl className="pairs">
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        {step.schema_changes?.length > 0 && (
          <>
            <h3>{texts["run.schema_changes"]}</h3>
            <SchemaChanges changes={step.schema_changes} />
          </>
        )}
        {step.details.compiled_sql && (
          <details open={step.state === "failed"}>
            <summary>{texts["run.compiled_sql"]}</summary>
            <pre className="sql" dir="ltr" tabIndex={0}>{step.details.compiled_sql}</pre>
          </details>
        )}
        <div className="row">
          <h3>{texts["run.log"]}</h3>
          <button type="button" className="button small" onClick={onLog}>
            {texts["run.filter_log"]}
          </button>
        </div>
        {lines.length ? (
          <pre className="panel-log" dir="ltr" tabIndex={0}>
            {lines.map(([number, level, text]) => (
              <span key={number} className={`level-${level}`}>
                {text}
                {"\n"}
              </span>
            ))}
          </pre>
        ) : (
          <p className="muted">{texts["run.log_empty"]}</p>
        )}
      </div>
    </aside>
  );
}
