// Small charts of the last days, each with its table for who cannot see it.
import { compact, whole } from "$/public/external/datanika/ui/wrappers/island/island.js";
import { duration } from "$/public/external/datanika/ui/wrappers/values/values.jsx";

const HEIGHT = 84;

// `parts`: functions day -> value, drawn one on the other, with the classes of their bars.
function Bars({ days, parts, top, label, describe }) {
  const width = 100 / days.length;
  return (
    <svg className="trend" role="img" aria-label={label} height={HEIGHT}>
      <line className="trend-line" x1="0" x2="100%" y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
      {days.map((day, position) => {
        let below = 0;
        return (
          <g key={day.day}>
            <title>{describe(day)}</title>
            <rect
              className="trend-space"
              x={`${position * width}%`}
              width={`${width}%`}
              height={HEIGHT}
            />
            {parts.map(([value, style]) => {
              const size = value(day) ? Math.max(2, (value(day) / top) * (HEIGHT - 8)) : 0;
              below += size;
              return (
                <rect
                  key={style}
                  className={style}
                  x={`${position * width + width * 0.14}%`}
                  width={`${width * 0.72}%`}
                  y={HEIGHT - below}
                  height={size}
                  rx="2"
                />
              );
            })}
          </g>
        );
      })}
    </svg>
  );
}

function Trend({ title, total, days, parts, columns, locale, texts }) {
  const sum = (day) => parts.reduce((all, [value]) => all + (value(day) ?? 0), 0);
  const top = Math.max(1e-9, ...days.map(sum));
  const date = new Intl.DateTimeFormat(locale, { month: "short", day: "numeric", timeZone: "UTC" });
  const name = (day) => date.format(new Date(`${day.day}T00:00:00Z`));
  const describe = (day) =>
    [name(day), ...columns.map(([text, value]) => `${text}: ${value(day)}`)].join(" · ");
  return (
    <section className="card trend-card">
      <h2>{title}</h2>
      <p className="trend-total">{total}</p>
      <Bars {...{ days, parts, top, describe }} label={`${title}: ${total}`} />
      <div className="trend-ends" aria-hidden="true">
        <span>{name(days[0])}</span>
        <span>{name(days[days.length - 1])}</span>
      </div>
      <details>
        <summary>{texts["home.as_table"]}</summary>
        <div className="scroll" tabIndex={0} role="region" aria-label={title}>
          <table>
            <thead>
              <tr>
                <th scope="col">{texts["home.day"]}</th>
                {columns.map(([text]) => (
                  <th scope="col" className="end" key={text}>
                    {text}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {[...days].reverse().map((day) => (
                <tr key={day.day}>
                  <th scope="row">{name(day)}</th>
                  {columns.map(([text, value]) => (
                    <td className="end number" key={text}>
                      {value(day)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </section>
  );
}

export function Trends({ days, locale, texts }) {
  const sum = (name) => days.reduce((all, day) => all + day[name], 0);
  const medians = days.map((day) => day.median_seconds).filter((value) => value != null);
  const middle = medians.length ? [...medians].sort((a, b) => a - b)[medians.length >> 1] : null;
  const common = { days, locale, texts };
  return (
    <div className="trends">
      <Trend
        {...common}
        title={texts["home.rows_a_day"]}
        total={compact(sum("rows"), locale)}
        parts={[[(day) => day.rows, "trend-rows"]]}
        columns={[[texts["column.rows"], (day) => whole(day.rows, locale)]]}
      />
      <Trend
        {...common}
        title={texts["home.runs_a_day"]}
        total={whole(sum("runs"), locale)}
        parts={[
          [(day) => day.runs - day.failed, "trend-good"],
          [(day) => day.failed, "trend-bad"],
        ]}
        columns={[
          [texts["runs.title"], (day) => whole(day.runs, locale)],
          [texts["home.failed"], (day) => whole(day.failed, locale)],
        ]}
      />
      <Trend
        {...common}
        title={texts["home.seconds_a_run"]}
        total={middle == null ? "–" : duration(middle, locale)}
        parts={[[(day) => day.median_seconds ?? 0, "trend-time"]]}
        columns={[
          [
            texts["column.duration"],
            (day) => (day.median_seconds == null ? "–" : duration(day.median_seconds, locale)),
          ],
        ]}
      />
    </div>
  );
}
