// The theme, before the first paint: the user's choice, else the system's, also when that changes.
"use strict";

(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => root.classList.toggle("is-dark", root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  root.dataset.theme = new URLSearchParams(location.search).get("theme") ?? "";
  try {
    root.dataset.theme ||= localStorage.getItem("theme") ?? "";
  } catch {
    // storage is off: follow the system
  }
  apply();
  system.addEventListener("change", apply);
  root.addEventListener("innkeeper:theme", apply);
})();
