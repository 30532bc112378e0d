// Before the first paint: the language chosen in this browser (see wrappers/browser.jsx).
(function () {
  var match = document.cookie.match(/(?:^|; )datanika_locale=([a-z]{2})/);
  if (!match) return;
  document.documentElement.lang = match[1];
  document.documentElement.dir = match[1] === "ar" ? "rtl" : "ltr";
})();
