// Shared by components that ask the REST API themselves, with the session's cookie.
import { useEffect, useRef, useState } from "react";
import { call } from "$/public/external/datanika/ui/wrappers/island/rest.js";

export async function ask(address, signal) {
  return (await call("", "GET", address, { signal })).data;
}

// What `address` answers, asked again every `seconds` while the tab is looked at.
// `ask again` at once with the returned `reload`.
export function useAnswer(address, seconds) {
  const [state, setState] = useState({ data: null, error: null });
  const reload = useRef(() => {});
  useEffect(() => {
    const stop = new AbortController();
    let timer;
    const read = async () => {
      clearTimeout(timer);
      try {
        if (!document.hidden) {
          const data = await ask(address, stop.signal);
          if (!stop.signal.aborted) setState({ data, error: null });
        }
      } catch (error) {
        if (!stop.signal.aborted) setState((before) => ({ ...before, error }));
      }
      clearTimeout(timer);
      if (seconds && !stop.signal.aborted) timer = setTimeout(read, seconds * 1000);
    };
    const onShow = () => !document.hidden && read();
    reload.current = read;
    read();
    document.addEventListener("visibilitychange", onShow);
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onShow);
    };
  }, [address, seconds]);
  return { ...state, reload: () => reload.current() };
}

// `{count} runs` with {count: 3}.
export const fill = (text, values) =>
  (text ?? "").replace(/\{(\w+)\}/g, (all, name) => (name in values ? values[name] : all));

export const compact = (value, locale) =>
  new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 }).format(value);

export const whole = (value, locale) => new Intl.NumberFormat(locale).format(value);

export function bytes(value, locale) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let step = 0;
  while (value >= 1000 && step < units.length - 1) {
    value /= 1000;
    step += 1;
  }
  const style = { style: "unit", unit: units[step], unitDisplay: "short", maximumFractionDigits: 1 };
  return new Intl.NumberFormat(locale, style).format(value);
}

// `3 hours ago` in the page's language; `value` is ISO 8601.
export function ago(value, locale, now = Date.now()) {
  const seconds = (new Date(value).getTime() - now) / 1000;
  const format = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  const sizes = [["day", 86400], ["hour", 3600], ["minute", 60]];
  for (const [name, size] of sizes)
    if (Math.abs(seconds) >= size) return format.format(Math.trunc(seconds / size), name);
  return format.format(Math.trunc(seconds), "second");
}
