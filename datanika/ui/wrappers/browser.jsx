// What a page does in the browser beyond Reflex's events.
import { useEffect } from "react";

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
