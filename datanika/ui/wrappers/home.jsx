// The first page: what is healthy, what failed and why, the last day, what is late, how it goes.
import { Link } from "react-router";
import {
  ago,
  bytes,
  fill,
  useAnswer,
  whole,
} from "$/public/external/datanika/ui/wrappers/island/island.js";
import { duration } from "$/public/external/datanika/ui/wrappers/values/values.jsx";
import { Timeline } from "$/public/external/datanika/ui/wrappers/home/timeline.jsx";
import { Trends } from "$/public/external/datanika/ui/wrappers/home/trends.jsx";

const SECONDS = 10;

function FirstSteps({ done, texts }) {
  const steps = [
    [done.has_connection, "/connections", texts["home.connect"], texts["home.connect_text"]],
    [done.has_pipeline, "/pipelines", texts["home.build"], texts["home.build_text"]],
    [done.has_run, "/pipelines", texts["home.run"], texts["home.run_text"]],
    [done.has_success, "/catalog", texts["home.see"], texts["home.see_text"]],
  ];
  const next = steps.findIndex(([isDone]) => !isDone);
  return (
    <section className="card home-steps">
      <div className="card-head">
        <h2>{texts["home.first_steps"]}</h2>
      </div>
      <ol>
        {steps.map(([isDone, to, title, text], position) => (
          <li key={title} className={isDone ? "is-done" : position === next ? "is-next" : ""}>
            <span className="home-mark" aria-hidden="true">
              {isDone ? "✓" : position + 1}
            </span>
            <h3>
              {title}
              {isDone && <span className="visually-hidden"> ({texts["home.done"]})</span>}
            </h3>
            <p>{text}</p>
            {position === next && (
              <Link to={to} className="button primary">
                {title}
              </Link>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Health({ health, late, locale, texts }) {
  const tiles = [
    ["ok", health.healthy, texts["home.healthy"], "/pipelines"],
    ["bad", health.failing, texts["home.failing"], "/runs?state=failed"],
    ["warn", late, texts["home.late"], "#late"],
    ["run", health.running, texts["home.running"], "/runs?state=running"],
    ["idle", health.paused, texts["home.paused"], "/pipelines"],
  ];
  const parts = [
    ["ok", health.healthy],
    ["bad", health.failing],
    ["idle", health.never_run],
  ];
  const label = fill(texts["home.health_label"], {
    healthy: whole(health.healthy, locale),
    total: whole(health.total, locale),
  });
  let x = 0;
  return (
    <section className="card health">
      <h2 className="visually-hidden">{texts["home.health"]}</h2>
      <svg className="health-bar" role="img" aria-label={label} height="10">
        {parts.map(([style, count]) => {
          const width = health.total ? (count / health.total) * 100 : 0;
          x += width;
          return (
            <rect key={style} className={`fill-${style}`} x={`${x - width}%`} width={`${width}%`} height="10" />
          );
        })}
      </svg>
      <ul className="tiles">
        {tiles.map(([style, count, text, to]) => (
          <li key={text}>
            <Link to={to} className={count ? `tile tone-${style}` : "tile"}>
              <strong>{whole(count, locale)}</strong>
              <span>{text}</span>
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Failing({ failing, locale, texts }) {
  return (
    <section className="card failing">
      <div className="card-head">
        <h2>{texts["home.failures"]}</h2>
      </div>
      <ul>
        {failing.map((one) => (
          <li key={one.pipeline_id}>
            <div className="failing-head">
              <Link to={`/runs/${one.run_id}`} className="row-link">
                <bdi>{one.name}</bdi> #{one.run_id}
              </Link>
              <span className={`badge is-${one.state}`}>
                <span className="dot" aria-hidden="true" />
                {one.state}
              </span>
              {one.is_paused && (
                <span className="badge">
                  <span className="dot" aria-hidden="true" />
                  {texts["home.paused"]}
                </span>
              )}
              <span className="muted">
                {one.failed_at && ago(one.failed_at, locale)}
                {one.failures > 1 &&
                  ` · ${fill(texts["home.failed_times"], { count: whole(one.failures, locale) })}`}
              </span>
            </div>
            {one.error_message && <p className="failing-cause" dir="auto">{one.error_message}</p>}
            {(one.error_hint || one.pause_reason) && (
              <p className="muted" dir="auto">{one.error_hint ?? one.pause_reason}</p>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Late({ late, locale, texts }) {
  return (
    <section className="card late" id="late">
      <div className="card-head">
        <h2>{texts["home.freshness"]}</h2>
      </div>
      {late.length === 0 ? (
        <p className="log-empty">{texts["home.all_fresh"]}</p>
      ) : (
        <ul>
          {late.map((one) => (
            <li key={one.pipeline_id}>
              <Link to={`/runs?pipeline=${one.pipeline_id}`} className="row-link">
                <bdi>{one.name}</bdi>
              </Link>
              <span className="badge is-warned">
                <span className="dot" aria-hidden="true" />
                {fill(texts["home.late_by"], { time: duration(one.late_seconds, locale) })}
              </span>
              <p className="muted">
                {one.last_success_at
                  ? fill(texts["home.last_success"], { time: ago(one.last_success_at, locale) })
                  : texts["home.never_succeeded"]}
                {one.tables_total > 0 && (
                  <>
                    {" · "}
                    <bdi>{one.tables.join(", ")}</bdi>
                    {one.tables_total > one.tables.length && ` +${one.tables_total - one.tables.length}`}
                  </>
                )}
              </p>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Quota({ quota, locale, texts }) {
  const figures = [
    [texts["home.rows_this_month"], quota.rows, (value) => whole(value, locale)],
    [texts["home.storage"], quota.storage_bytes, (value) => bytes(value, locale)],
    [texts["home.concurrent"], quota.concurrent_runs, (value) => whole(value, locale)],
    [texts["nav.connections"], quota.connections, (value) => whole(value, locale)],
  ];
  const day = new Intl.DateTimeFormat(locale, { month: "long", day: "numeric", timeZone: "UTC" });
  return (
    <section className="card quota">
      <div className="card-head">
        <h2>{texts["home.use"]}</h2>
        <span className="muted">
          {fill(texts["home.resets"], { day: day.format(new Date(quota.resets_at)) })}
        </span>
      </div>
      <dl>
        {figures.map(([name, figure, shown]) => {
          const share = figure.limit ? Math.min(1, figure.used / figure.limit) : 0;
          const tone = share >= 1 ? "fill-bad" : share >= 0.8 ? "fill-warn" : "fill-brand";
          return (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                <strong>{shown(figure.used)}</strong>{" "}
                <span className="muted">
                  {figure.limit == null
                    ? texts["home.no_limit"]
                    : fill(texts["home.of"], { limit: shown(figure.limit) })}
                </span>
                {figure.limit != null && (
                  <svg className="meter" aria-hidden="true" height="6">
                    <rect className="meter-track" width="100%" height="6" rx="3" />
                    <rect className={tone} width={`${share * 100}%`} height="6" rx="3" />
                  </svg>
                )}
              </dd>
            </div>
          );
        })}
      </dl>
    </section>
  );
}

export function Home({ address, locale, texts }) {
  const { data, error, reload } = useAnswer(address, SECONDS);
  if (!data)
    return error ? (
      <div className="notice bad" role="alert">
        <strong>{texts["error.unavailable"]}</strong>
        <p>{error.message}</p>
        <button type="button" className="button" onClick={reload}>
          {texts["home.again"]}
        </button>
      </div>
    ) : (
      <div className="home-loading" role="status" aria-label={texts["frame.loading"]}>
        <span className="spinner" />
      </div>
    );
  const common = { locale, texts };
  const now = new Date(data.now).getTime();
  const steps = data.first_steps;
  return (
    <div className="home">
      {!steps.has_success && <FirstSteps done={steps} texts={texts} />}
      {data.health.total > 0 && <Health health={data.health} late={data.late.length} {...common} />}
      {data.failing.length > 0 && <Failing failing={data.failing} {...common} />}
      {data.lanes.length > 0 && (
        <section className="card">
          <div className="card-head">
            <h2>{texts["home.last_day"]}</h2>
            <span className="muted">{texts["home.last_day_text"]}</span>
          </div>
          <Timeline lanes={data.lanes} leftOut={data.runs_left_out} now={now} {...common} />
        </section>
      )}
      {steps.has_run && (
        <>
          <Trends days={data.days} {...common} />
          <div className="home-pair">
            <Late late={data.late} {...common} />
            {data.quota && <Quota quota={data.quota} {...common} />}
          </div>
        </>
      )}
    </div>
  );
}
