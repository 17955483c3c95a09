// Copy buttons, dialogs, selections, forms that send themselves when a field changes, and the key that moves to the search field.

import { t } from "./texts.js";

const isTyping = (element) => element.matches("input:not([type=checkbox], [type=radio]), textarea, select");

async function copy(button) {
  const text = document.getElementById(button.dataset.copy).textContent.trim();
  const word = button.querySelector("[data-copy-word]");
  try {
    await navigator.clipboard.writeText(text);
    word.textContent = t("Copied");
  } catch {
    word.textContent = t("Select the text and copy it");
  }
}

// The bar of actions on selected rows: how many, and whether it is there at all.
export function showSelection(table) {
  const ticks = [...table.querySelectorAll("tbody input[name=selected]")];
  const chosen = ticks.filter((tick) => tick.checked);
  for (const tick of ticks) tick.closest("tr").classList.toggle("is-selected", tick.checked);
  const all = table.querySelector("[data-select-all]");
  if (all) {
    all.checked = chosen.length > 0 && chosen.length === ticks.length;
    all.indeterminate = chosen.length > 0 && chosen.length < ticks.length;
  }
  const bar = table.closest("form")?.querySelector("[data-selection]");
  if (!bar) return;
  bar.hidden = chosen.length === 0;
  const every = bar.querySelector("[name=all]");
  if (every && bar.hidden) every.checked = false; // else the next row that is ticked would mean all
  bar.querySelector("[data-selection-count]").textContent = t("{count} selected", { count: every?.checked ? every.dataset.total : chosen.length });
}

function onClick(event) {
  const link = event.target.closest("[data-ask], [data-dismiss]");
  if (link && !(event.ctrlKey || event.metaKey || event.shiftKey)) {
    event.preventDefault();
    if (link.dataset.dismiss) {
      document.getElementById(link.dataset.dismiss).remove();
      document.getElementById("main").focus();
    } else import("./questions.js").then(({ ask }) => ask(link)); // loaded when it is needed: few pages are left through it
  }
  const button = event.target.closest("button, [data-select-all]");
  if (!button) return;
  if (button.dataset.copy) copy(button);
  else if (button.dataset.closeDialog !== undefined) button.closest("dialog").close();
  else if (button.dataset.clearSelection !== undefined) {
    const form = button.closest("form");
    for (const tick of form.querySelectorAll("input[name=selected]")) tick.checked = false;
    showSelection(form.querySelector("table"));
  }
}

function onChange(event) {
  const table = event.target.closest("table");
  if (event.target.matches("[data-select-all]")) {
    for (const tick of table.querySelectorAll("tbody input[name=selected]")) tick.checked = event.target.checked;
    showSelection(table);
  } else if (event.target.matches("input[name=selected]")) {
    const every = event.target.form.querySelector("[name=all]");
    if (every && !event.target.checked) every.checked = false;
    showSelection(table);
  } else if (event.target.matches("[name=all]")) {
    showSelection(event.target.form.querySelector("table"));
  } else if (event.target.matches("select[data-submit]") || event.target.closest("form[data-submit-on-change]")) {
    event.target.form.requestSubmit();
  }
}

// Two controls of one value, such as a slider and its number field, follow each other.
// A typed name must equal the object's before its button works; the server checks it again.
function onInput(event) {
  const mirror = event.target.dataset.mirror;
  if (mirror) document.getElementById(mirror).value = event.target.value;
  const wanted = event.target.dataset.mustEqual;
  if (wanted === undefined) return;
  event.target.form.querySelector("[data-needs-name]").disabled = event.target.value !== wanted;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(document.activeElement)) return;
  const field = document.querySelector(`[data-shortcut="${CSS.escape(event.key)}"]`);
  if (!field) return;
  event.preventDefault();
  field.checkVisibility() || document.getElementById("side")?.showPopover();
  field.focus();
}

// The field of a search stays while its list and its problem are swapped.
function onSettled() {
  const problem = document.getElementById("q-problem");
  problem && document.getElementById("q").setAttribute("aria-invalid", problem.childElementCount > 0);
}

export function start() {
  document.addEventListener("htmx:afterSettle", onSettled);
  document.addEventListener("click", onClick);
  document.addEventListener("change", onChange);
  document.addEventListener("input", onInput);
  document.addEventListener("keydown", onKey);
  for (const table of document.querySelectorAll("table")) showSelection(table);
}
