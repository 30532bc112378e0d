// The log of a run. Only the rows that can be seen are drawn.
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { fill, whole } from "$/public/external/datanika/ui/wrappers/island/island.js";
import { downloadLog } from "$/public/external/datanika/ui/wrappers/run_live/run_stream.js";

const ROW = 21;
const MORE = 12;
const LEVELS = ["debug", "info", "warning", "error"];

function Row({ row, top, clock }) {
  const { line } = row;
  return (
    <div className={`log-line level-${line.level}`} style={{ top }}>
      <span>{row.isFirst ? clock.format(new Date(line.at)) : ""}</span>
      <span className="log-level">{row.isFirst ? line.level : ""}</span>
      <span className="log-step">{row.isFirst ? line.step_key : ""}</span>
      <span className="log-message">{row.text}</span>
    </div>
  );
}

function Rows({ log, version, label, locale, following, setFollowing }) {
  const view = useRef(null);
  const [place, setPlace] = useState({ top: 0, height: 400 });
  const dropped = useRef(log.dropped);
  const clock = new Intl.DateTimeFormat(locale, {
    hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
  });
  useLayoutEffect(() => {
    const element = view.current;
    if (following) element.scrollTop = element.scrollHeight;
    else if (!log.matches && log.dropped !== dropped.current)
      element.scrollTop -= (log.dropped - dropped.current) * ROW;
    dropped.current = log.dropped;
    setPlace({ top: element.scrollTop, height: element.clientHeight });
  }, [version, following, log.length]);
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = view.current;
    setPlace({ top: scrollTop, height: clientHeight });
    setFollowing(scrollHeight - scrollTop - clientHeight < ROW * 2);
  };
  const first = Math.max(0, Math.floor(place.top / ROW) - MORE);
  const end = Math.min(log.length, Math.ceil((place.top + place.height) / ROW) + MORE);
  const shown = [];
  for (let position = first; position < end; position += 1)
    shown.push(
      <Row key={position + log.dropped} row={log.at(position)} top={position * ROW} clock={clock} />,
    );
  return (
    <div
      ref={view}
      className="log"
      role="log"
      aria-live="off"
      aria-label={label}
      tabIndex={0}
      onScroll={onScroll}
    >
      <div className="log-rows" style={{ height: log.length * ROW }}>
        {shown}
      </div>
    </div>
  );
}

export function RunLog({ store, version, address, runId, isLive, steps, filter, setFilter, ...page }) {
  const { locale, texts, skipped } = page;
  const [following, setFollowing] = useState(true);
  const [saving, setSaving] = useState(null);
  const { log } = store;
  useEffect(() => setFollowing(true), [filter]);
  const change = (name) => (event) => setFilter({ ...filter, [name]: event.target.value });
  const save = async () => {
    setSaving(0);
    try {
      await downloadLog(address, `run-${runId}.log`, setSaving);
    } finally {
      setSaving(null);
    }
  };
  const isCut = skipped > 0 || log.dropped > 0;
  return (
    <section className="card" id="log">
      <div className="card-head">
        <h2>{texts["run.log"]}</h2>
        <span className="muted number" id="log-count">
          {log.matches
            ? fill(texts["run.log_matches"], {
                count: whole(log.length, locale),
                total: whole(log.rows.length, locale),
              })
            : fill(texts["run.log_lines"], { count: whole(log.rows.length, locale) })}
        </span>
      </div>
      <div className="toolbar" role="search">
        <input
          className="input grow"
          type="search"
          placeholder={texts["run.search"]}
          aria-label={texts["run.search"]}
          value={filter.search}
          onChange={change("search")}
        />
        <select className="select" aria-label={texts["run.level"]} value={filter.level} onChange={change("level")}>
          {LEVELS.map((level) => (
            <option key={level} value={level}>
              {level === "debug" ? texts["run.all_levels"] : `≥ ${level}`}
            </option>
          ))}
        </select>
        <select
          className="select"
          aria-label={texts["run.step"]}
          value={filter.step}
          onChange={(event) => setFilter({ ...filter, step: event.target.value, node: "" })}
        >
          <option value="">{texts["run.all_steps"]}</option>
          {steps.map((key) => (
            <option key={key}>{key}</option>
          ))}
        </select>
        {filter.node && (
          <button type="button" className="chip" onClick={() => setFilter({ ...filter, node: "" })}>
            {filter.node} ✕
          </button>
        )}
        {!following && (
          <button type="button" className="button" onClick={() => setFollowing(true)}>
            {texts["run.to_the_end"]}
          </button>
        )}
        <button type="button" className="button" onClick={save} disabled={saving != null}>
          {saving == null ? texts["run.download"] : whole(saving, locale)}
        </button>
      </div>
      {isCut && <p className="log-note">{texts["run.log_cut"]}</p>}
      {log.length === 0 ? (
        <p className="log-empty">
          {log.rows.length ? texts["run.log_no_match"] : texts["run.log_empty"]}
        </p>
      ) : (
        <Rows {...{ log, version, locale, following, setFollowing }} label={texts["run.log"]} />
      )}
    </section>
  );
}
