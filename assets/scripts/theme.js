// The theme, before the first paint: the user's choice, else the system's.
"use strict";

(() => {
  let saved = null;
  try {
    saved = localStorage.getItem("theme");
  } catch {
    // storage is off: follow the system
  }
  const wanted = new URLSearchParams(location.search).get("theme") ?? saved;
  const dark = wanted ? wanted === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.classList.toggle("is-dark", dark);
})();
