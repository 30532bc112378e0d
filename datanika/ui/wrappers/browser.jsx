// What a page does in the browser beyond Reflex's events.
import { useEffect, useRef } from "react";

// The document's language and direction follow the page's; the choice is remembered.
export function PageLanguage({ locale, direction, chosen }) {
  useEffect(() => {
    document.documentElement.lang = locale;
    document.documentElement.dir = direction;
    if (chosen) {
      const secure = window.location.protocol === "https:" ? "; Secure" : "";
      document.cookie = `datanika_locale=${locale}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
    }
  }, [locale, direction, chosen]);
  return null;
}

// Ends the session on the server, then loads the login page anew so that nothing stays in memory.
export function LogoutButton({ action, to, children, ...props }) {
  const logout = async () => {
    try {
      await fetch(action, { method: "DELETE", credentials: "include" });
    } finally {
      window.location.assign(to);
    }
  };
  return (
    <button type="button" {...props} onClick={logout}>
      {children}
    </button>
  );
}

// A log that follows its end until the reader scrolls up.
export function LogView({ children, label, count }) {
  const view = useRef(null);
  const following = useRef(true);
  useEffect(() => {
    if (following.current && view.current) view.current.scrollTop = view.current.scrollHeight;
  }, [count]);
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = view.current;
    following.current = scrollHeight - scrollTop - clientHeight < 40;
  };
  return (
    <div ref={view} className="log" role="log" aria-label={label} tabIndex={0} onScroll={onScroll}>
      {children}
    </div>
  );
}
