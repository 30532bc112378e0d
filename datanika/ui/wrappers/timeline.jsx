// Runs of the last 24 hours: a lane a pipeline, a bar a run. Time goes from left to right, in every
// language.
import { useRef, useState } from "react";
import { Link } from "react-router";
import { fill, whole } from "$/public/external/datanika/ui/wrappers/island/island.js";
import { duration } from "$/public/external/datanika/ui/wrappers/values/values.jsx";

const DAY = 24 * 3600 * 1000;
const LANES = 12;

const begun = (run) => new Date(run.started_at ?? run.created_at).getTime();
const ended = (run, now) => (run.finished_at ? new Date(run.finished_at).getTime() : now);
const seconds = (run, now) => Math.max(0, (ended(run, now) - begun(run)) / 1000);

// Full hours of the browser's zone, every four.
function ticks(now) {
  const first = new Date(now - DAY);
  first.setMinutes(0, 0, 0);
  const found = [];
  for (let at = first; at.getTime() <= now; at = new Date(at.getTime() + 3600 * 1000))
    if (at.getHours() % 4 === 0 && at.getTime() > now - DAY) found.push(new Date(at));
  return found;
}

function Lane({ lane, now, locale, texts, onShow }) {
  const [chosen, setChosen] = useState(lane.runs.length - 1);
  const bars = useRef([]);
  const focusable = Math.min(chosen, lane.runs.length - 1);
  const onKeyDown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const next = focusable + (step ?? 0);
    if (!step || !lane.runs[next]) return;
    event.preventDefault();
    setChosen(next);
    bars.current[next]?.focus();
  };
  return (
    <li className="lane">
      <Link to={`/runs?pipeline=${lane.pipeline_id}`} className="lane-name" title={lane.name}>
        <bdi>{lane.name}</bdi>
      </Link>
      <svg className="lane-track" role="group" aria-label={lane.name} onKeyDown={onKeyDown}>
        {ticks(now).map((at) => {
          const x = `${((at - (now - DAY)) / DAY) * 100}%`;
          return <line key={at.getTime()} className="lane-tick" x1={x} x2={x} y1="0" y2="100%" />;
        })}
        {lane.runs.map((run, position) => {
          const left = Math.max(0, (begun(run) - (now - DAY)) / DAY) * 100;
          const right = Math.min(1, (ended(run, now) - (now - DAY)) / DAY) * 100;
          const width = Math.max(0.4, right - left);
          const label = [
            `#${run.id} ${run.state}`,
            duration(seconds(run, now), locale),
            run.rows != null && fill(texts["home.rows"], { rows: whole(run.rows, locale) }),
            run.error_message,
          ];
          const show = () => onShow({ run, left: Math.min(left, 100 - width), name: lane.name });
          return (
            <Link
              key={run.id}
              to={`/runs/${run.id}`}
              ref={(element) => (bars.current[position] = element)}
              aria-label={label.filter(Boolean).join(", ")}
              tabIndex={position === focusable ? 0 : -1}
              onMouseEnter={show}
              onFocus={() => (setChosen(position), show())}
              onMouseLeave={() => onShow(null)}
              onBlur={() => onShow(null)}
            >
              <rect
                className={`lane-bar is-${run.state}`}
                x={`${Math.min(left, 99.6)}%`}
                width={`${width}%`}
                y="15%"
                height="70%"
                rx="3"
              />
            </Link>
          );
        })}
      </svg>
    </li>
  );
}

function Facts({ shown, now, locale, texts }) {
  const { run, left, name } = shown;
  const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
  return (
    <div className="lane-facts" style={{ insetInlineStart: "auto", left: `${Math.min(78, left)}%` }}>
      <strong>
        <bdi>{name}</bdi> #{run.id}
      </strong>
      <span className={`badge is-${run.state}`}>
        <span className="dot" />
        {run.state}
      </span>
      <span>
        {clock.format(begun(run))} · {duration(seconds(run, now), locale)}
        {run.rows != null && ` · ${fill(texts["home.rows"], { rows: whole(run.rows, locale) })}`}
      </span>
      {run.error_message && <span className="lane-error" dir="auto">{run.error_message}</span>}
    </div>
  );
}

export function Timeline({ lanes, leftOut, now, locale, texts }) {
  const [all, setAll] = useState(false);
  const [shown, setShown] = useState(null);
  const hour = new Intl.DateTimeFormat(locale, { hour: "numeric" });
  const drawn = all ? lanes : lanes.slice(0, LANES);
  return (
    <div className="timeline">
      <ul className="lanes">
        {drawn.map((lane) => (
          <Lane key={lane.pipeline_id} {...{ lane, now, locale, texts }} onShow={setShown} />
        ))}
      </ul>
      <div className="lane-axis" aria-hidden="true">
        {ticks(now).map((at) => (
          <span key={at.getTime()} style={{ left: `${((at - (now - DAY)) / DAY) * 100}%` }}>
            {hour.format(at)}
          </span>
        ))}
        {shown && <Facts {...{ shown, now, locale, texts }} />}
      </div>
      <div className="timeline-foot">
        {lanes.length > LANES && (
          <button type="button" className="button" onClick={() => setAll(!all)} aria-expanded={all}>
            {all
              ? texts["home.fewer"]
              : fill(texts["home.all_lanes"], { count: whole(lanes.length, locale) })}
          </button>
        )}
        {leftOut > 0 && (
          <Link to="/runs" className="muted">
            {fill(texts["home.left_out"], { count: whole(leftOut, locale) })}
          </Link>
        )}
      </div>
    </div>
  );
}
