// Values that only the browser can show right: its time zone, its language, its clock.
import { useEffect, useState } from "react";
import { bytes } from "$/public/external/datanika/ui/wrappers/island/island.js";

export function LocalTime({ value, locale, withDate = true }) {
  if (!value) return <span className="muted">–</span>;
  const options = withDate
    ? { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }
    : { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  const date = new Date(value);
  return (
    <time dateTime={value} title={date.toLocaleString(locale)}>
      {new Intl.DateTimeFormat(locale, options).format(date)}
    </time>
  );
}

export function LocalNumber({ value, locale }) {
  if (value == null) return <span className="muted">–</span>;
  return <span className="number">{new Intl.NumberFormat(locale).format(value)}</span>;
}

export function ByteSize({ value, locale }) {
  if (value == null) return <span className="muted">–</span>;
  return <span className="number">{bytes(value, locale)}</span>;
}

const unit = (value, name, locale, digits = 0) =>
  new Intl.NumberFormat(locale, {
    style: "unit",
    unit: name,
    unitDisplay: "short",
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);

export function duration(seconds, locale) {
  if (seconds < 60) return unit(seconds, "second", locale, seconds < 10 ? 1 : 0);
  if (seconds < 3600)
    return `${unit(Math.floor(seconds / 60), "minute", locale)} ${unit(Math.floor(seconds % 60), "second", locale)}`;
  return `${unit(Math.floor(seconds / 3600), "hour", locale)} ${unit(Math.floor((seconds % 3600) / 60), "minute", locale)}`;
}

// From `start` to `end`; counts on while there is a start and no end. `seconds` overrides both.
export function Duration({ start, end, seconds, locale }) {
  const [now, setNow] = useState(() => Date.now());
  const running = seconds == null && start && !end;
  useEffect(() => {
    if (!running) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [running]);
  if (seconds == null && !start) return <span className="muted">–</span>;
  const until = end ? new Date(end).getTime() : now;
  const value = seconds ?? Math.max(0, (until - new Date(start).getTime()) / 1000);
  return <span className="number">{duration(value, locale)}</span>;
}
