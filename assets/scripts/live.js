// Live pages: the region's stream says which objects changed, and the page fetches itself again and swaps its fragments.
//
// A fragment is an element with an id and data-live="TOPIC ...". A refresh keeps focus, typed text, ticks, open details and
// scroll positions. While a menu, a dialog or a text field inside a fragment is in use, that fragment waits.
import { showSelection } from "./controls.js";

const REFRESH_EVERY_MS = 1000; // at most, and the last change of a burst is always shown
const RETRY_MS = 2000;

let source = null;
let lastId = "";
let paused = false;
let waiting = new Set(); // topics that changed and are not shown yet
let timer = null;
let refreshedAt = 0;
let isRefreshing = false;

const state = () => document.getElementById("live-state");

function say(word, isLive) {
  const element = state();
  if (!element || element.textContent === word) return;
  element.textContent = word;
  element.classList.toggle("is-cut", !isLive);
}

const time = () => new Date().toISOString().slice(11, 16);

function isInUse(fragment) {
  if (fragment.querySelector("[popover]:popover-open, dialog[open]")) return true;
  const active = document.activeElement;
  return fragment.contains(active) && active.matches("input:not([type=checkbox], [type=radio]), textarea, select");
}

const topicsOf = (fragment) => fragment.dataset.live.split(" ");

// What the user did to a fragment and the server does not know.
function remember(fragment) {
  return {
    active: fragment.contains(document.activeElement) ? document.activeElement.id : "",
    ticks: [...fragment.querySelectorAll("input[type=checkbox][id]:checked")].map((tick) => tick.id),
    details: [...fragment.querySelectorAll("details[id][open]")].map((each) => each.id),
    scrolls: [...fragment.querySelectorAll("[id].ik-scroll, [id].ik-log")].map((each) => [
      each.id,
      each.scrollLeft,
      each.scrollTop + each.clientHeight >= each.scrollHeight - 4 && each.matches(".ik-log") ? Infinity : each.scrollTop,
    ]),
  };
}

function restore(fragment, kept) {
  for (const id of kept.ticks) {
    const tick = document.getElementById(id);
    if (tick) tick.checked = true;
  }
  for (const id of kept.details) document.getElementById(id)?.setAttribute("open", "");
  for (const [id, left, top] of kept.scrolls) {
    const element = document.getElementById(id);
    if (element) [element.scrollLeft, element.scrollTop] = [left, top === Infinity ? element.scrollHeight : top];
  }
  for (const table of fragment.querySelectorAll("table")) showSelection(table);
  if (kept.active) document.getElementById(kept.active)?.focus({ preventScroll: true });
}

function swap(fragment, fresh) {
  if (fragment.outerHTML === fresh.outerHTML) return;
  const kept = remember(fragment);
  fragment.replaceWith(fresh);
  globalThis.htmx?.process(fresh);
  restore(fresh, kept);
}

function adoptIcons(page) {
  const sprite = document.querySelector(".ik-sprite");
  for (const symbol of page.querySelectorAll(".ik-sprite symbol")) {
    if (!document.getElementById(symbol.id)) sprite.append(symbol);
  }
}

// The status bar and the counts of the navigation belong to every page.
const FRAME = ["nav", "status-running", "status-last"];

async function refresh(topics) {
  isRefreshing = true;
  try {
    const response = await fetch(location.href, { headers: { "HX-Request": "true", "X-Live": "true" }, redirect: "error" });
    if (response.headers.get("HX-Redirect")) {
      location.assign(response.headers.get("HX-Redirect"));
      return;
    }
    if (!response.ok) throw new Error(response.statusText);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    adoptIcons(page);
    for (const fragment of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(fragment.id);
      if (!fresh || !topicsOf(fragment).some((topic) => topics.has(topic) || topics.has("all"))) continue;
      if (isInUse(fragment)) {
        for (const topic of topicsOf(fragment)) if (topics.has(topic) || topics.has("all")) waiting.add(topic);
        say("Live, updates are waiting", true);
      } else {
        swap(fragment, fresh);
      }
    }
    for (const id of FRAME) {
      const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
      if (old && fresh && !isInUse(old)) swap(old, fresh);
    }
    document.dispatchEvent(new CustomEvent("innkeeper:refreshed"));
  } catch {
    for (const topic of topics) waiting.add(topic);
    say(`Not live since ${time()}`, false);
  } finally {
    isRefreshing = false;
    refreshedAt = performance.now();
  }
}

function schedule() {
  if (paused || timer !== null || waiting.size === 0) return;
  const delay = Math.max(0, refreshedAt + REFRESH_EVERY_MS - performance.now());
  timer = setTimeout(async () => {
    timer = null;
    if (isRefreshing) return schedule();
    const topics = waiting;
    waiting = new Set();
    await refresh(topics);
    schedule();
  }, delay);
}

function changed(topics) {
  for (const topic of topics) waiting.add(topic);
  schedule();
}

function connect() {
  const element = state();
  if (!element || source || document.hidden || paused) return;
  const address = new URL(element.dataset.stream, location.href);
  if (lastId) address.searchParams.set("after", lastId);
  source = new EventSource(address);
  source.onopen = () => say("Live", true);
  source.addEventListener("changed", (event) => {
    lastId = event.lastEventId;
    changed(JSON.parse(event.data));
  });
  source.addEventListener("position", (event) => {
    lastId = event.lastEventId;
  });
  source.addEventListener("reload", (event) => {
    lastId = event.lastEventId;
    changed(["all"]);
  });
  source.onerror = () => {
    say(`Not live since ${time()}`, false);
    if (source?.readyState !== EventSource.CLOSED) return; // the browser connects again itself
    disconnect();
    setTimeout(() => {
      connect();
      changed(["all"]); // by which a session that has ended is noticed
    }, RETRY_MS);
  };
}

function disconnect() {
  source?.close();
  source = null;
}

function pause(button) {
  paused = !paused;
  button.setAttribute("aria-pressed", String(paused));
  button.querySelector("span").textContent = paused ? "Resume updates" : "Pause updates";
  if (paused) {
    disconnect();
    say(`Paused at ${time()}`, false);
  } else {
    connect();
    schedule();
  }
}

export function start() {
  if (!state()) return;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-live-pause]");
    if (button) pause(button);
  });
  // Six tabs would use up the browser's connections to one host: only the visible page is live.
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  addEventListener("pagehide", disconnect);
  // What htmx swaps in brings icons that this page did not have.
  document.addEventListener("htmx:beforeSwap", (event) => {
    adoptIcons(new DOMParser().parseFromString(event.detail.serverResponse, "text/html"));
  });
  // A fragment in use is refreshed when it is left.
  document.addEventListener("focusout", () => setTimeout(schedule));
  document.addEventListener("toggle", schedule, true);
  connect();
}
