// The buttons that change the theme, and the words that name it: System, Light, Dark, and again System.
import { keep } from "./storage.js";
import { t } from "./texts.js";

const NAMES = { "": t("System"), light: t("Light"), dark: t("Dark") };
const root = document.documentElement;

function show() {
  for (const name of document.querySelectorAll("[data-theme-name]")) name.textContent = NAMES[root.dataset.theme];
}

export function start() {
  show();
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    const themes = Object.keys(NAMES);
    root.dataset.theme = themes[(themes.indexOf(root.dataset.theme) + 1) % themes.length];
    keep("theme", root.dataset.theme);
    root.dispatchEvent(new Event("innkeeper:theme"));
    show();
  });
}
