// Live pages: the region's stream says which objects changed, and the page fetches itself again and swaps its fragments.
//
// A fragment is an element with an id and data-live="TOPIC ...". A refresh keeps focus, typed text, ticks, open details and
// scroll positions. While a menu, a dialog or a text field inside a fragment is in use, that fragment waits.
import { showSelection } from "./controls.js";
import { adopt, isEnded, isOther, tellEnded, tryAgain } from "./session.js";
import { t } from "./texts.js";
import { localize } from "./times.js";

// Between two refreshes: four times as long as one takes. The last change of a burst is always shown.
const [SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS] = [250, 1000];
// Doubled with each connection that is refused: an account may have too many pages open.
const RETRY_MS = 2000;
const LEAVING_MS = 5000;
const OPENING_MS = 2000; // within which a stream that works has sent its first event
const REFRESH_DEADLINE_MS = 15000;
const MOST_SILENCES = 4;

let source = null;
let lastId = "";
let paused = false;
let waiting = new Set(); // topics that changed and are not shown yet
let timer = null;
let refreshedAt = 0;
let leavingUntil = 0; // a form was sent or a link followed: its answer replaces the page
let isGone = false; // what the page shows
let pauseMs = 0; // after the last refresh
let isRefreshing = false;
let retryMs = RETRY_MS;
let isStreaming = false; // the stream has begun, and has had no error since
let cutAt = null; // since when the page is not live
let knownAt = Date.now(); // when it last was as the region said
let watch = null; // for the next event of the stream
let silences = 1;
let isTyped = false; // something in a form that is not sent yet

const state = () => document.getElementById("live-state");

function say(word, isLive) {
  const element = state();
  if (!element || element.textContent === word) return;
  element.textContent = word;
  element.classList.toggle("is-cut", !isLive);
}

const time = (ms) => new Date(ms).toTimeString().slice(0, 5);

function sayCut() {
  if (paused) return;
  cutAt ??= time(knownAt);
  say(t("Not live since {time}", { time: cutAt }), false);
}

function sayLive(word) {
  if (isGone) return;
  cutAt = null;
  say(word ?? t("Live"), true);
}

function isInUse(fragment) {
  if (fragment.querySelector("[popover]:popover-open, dialog[open], form[data-sending]")) return true;
  const active = document.activeElement;
  return fragment.contains(active) && active.matches("input:not([type=checkbox], [type=radio]), textarea, select");
}

// The address without its fragment, which a skip link changes.
const shownAddress = () => location.href.split("#")[0];

const topicsOf = (fragment) => fragment.dataset.live.split(" ");

// What an element is, for finding it in the fragment as the server renders it again.
function identity(element) {
  const given = ["id", "href", "name", "value", "aria-label"].map((name) => element.getAttribute(name));
  return `${element.tagName} ${given.join(" ")} ${given.some(Boolean) ? "" : element.textContent.trim()}`;
}

// Where it was; what is no longer there leaves the focus to its fragment, never to another control.
function focusAgain(fragment, wanted) {
  if (fragment.contains(document.activeElement)) return;
  let target = [...fragment.querySelectorAll("a, button, input, summary, [tabindex]")].find((element) => identity(element) === wanted);
  if (!target) [target, fragment.tabIndex] = [fragment, -1];
  target.focus({ preventScroll: true });
}

// What the user did to a fragment and the server does not know.
function remember(fragment) {
  return {
    active: fragment.contains(document.activeElement) ? identity(document.activeElement) : "",
    ticks: new Set([...fragment.querySelectorAll("input[type=checkbox]:checked")].map(identity)),
    details: [...fragment.querySelectorAll("details[id][open]")].map((each) => each.id),
    scrolls: [...fragment.querySelectorAll("[id].ik-scroll, [id].ik-log")].map((each) => [
      each.id,
      each.scrollLeft,
      each.scrollTop + each.clientHeight >= each.scrollHeight - 4 && each.matches(".ik-log") ? Infinity : each.scrollTop,
    ]),
  };
}

function restore(fragment, kept) {
  for (const tick of fragment.querySelectorAll("input[type=checkbox]")) tick.checked ||= kept.ticks.has(identity(tick));
  for (const id of kept.details) document.getElementById(id)?.setAttribute("open", "");
  for (const [id, left, top] of kept.scrolls) {
    const element = document.getElementById(id);
    if (element) [element.scrollLeft, element.scrollTop] = [left, top === Infinity ? element.scrollHeight : top];
  }
  for (const table of fragment.querySelectorAll("table")) showSelection(table);
  if (kept.active) focusAgain(fragment, kept.active);
}

// Replaces only what differs: of a table with 200 rows often one cell.
function update(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const [olds, parts] = [[...old.childNodes], [...fresh.childNodes]];
  if (olds.length && olds.length === parts.length && old.cloneNode().isEqualNode(fresh.cloneNode())) {
    olds.forEach((child, index) => update(child, parts[index]));
    return;
  }
  old.replaceWith(fresh);
  if (fresh.tagName) globalThis.htmx?.process(fresh);
}

function swap(fragment, fresh) {
  if (fragment.isEqualNode(fresh)) return;
  const kept = remember(fragment);
  update(fragment, fresh);
  restore(document.getElementById(fragment.id), kept);
}

export function adoptIcons(page) {
  const sprite = document.querySelector(".ik-sprite");
  for (const symbol of page.querySelectorAll(".ik-sprite symbol")) {
    if (!document.getElementById(symbol.id)) sprite.append(symbol);
  }
}

// They changed, and are not shown yet.
const wait = (topics) => topics.forEach((topic) => waiting.add(topic));

// The status bar and the counts of the navigation belong to every page.
const FRAME = ["nav", "status-running", "status-last", "status-clock"];

async function refresh(topics) {
  isRefreshing = true;
  const [began, address] = [performance.now(), shownAddress()];
  pauseMs = LONGEST_PAUSE_MS; // if something fails or has to wait
  let isShown = true;
  try {
    const response = await fetch(document.body.dataset.refreshFrom ?? address, { headers: { "HX-Request": "true", "X-Live": "true" }, redirect: "error", signal: AbortSignal.timeout(REFRESH_DEADLINE_MS) });
    const login = response.headers.get("HX-Redirect");
    const isUntouched = !isTyped && !document.querySelector("dialog[open]");
    if (login && isUntouched) {
      location.assign(login);
      return;
    }
    if (login) {
      disconnect();
      tellEnded();
    }
    isGone = response.status === 404;
    if (isGone) return say(t("This is no longer there"), false);
    if (!response.ok) throw new Error(response.statusText);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const csrf = page.querySelector("meta[name=csrf-token]");
    if (isOther(csrf.dataset.user, isUntouched)) return;
    if (address !== shownAddress()) return wait(topics); // a search has changed what the page shows
    adopt(csrf.content); // else each fragment with a form would differ
    adoptIcons(page);
    localize(page);
    knownAt = Date.now();
    for (const fragment of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(fragment.id);
      const shown = topicsOf(fragment).filter((topic) => topics.has(topic) || topics.has("all"));
      if (!fresh || !shown.length) continue;
      if (isInUse(fragment)) {
        wait(shown);
        isShown = false;
      } else {
        swap(fragment, fresh);
      }
    }
    for (const id of FRAME) {
      const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
      if (old && fresh && !isInUse(old)) swap(old, fresh);
    }
    if (isStreaming) sayLive(isShown ? undefined : t("Live, updates are waiting"));
    else if (cutAt) {
      cutAt = null;
      sayCut();
    }
    if (isShown) pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, 4 * (performance.now() - began)));
    document.dispatchEvent(new CustomEvent("innkeeper:refreshed"));
  } catch {
    wait(topics);
    sayCut();
  } finally {
    isRefreshing = false;
    refreshedAt = performance.now();
  }
}

function schedule() {
  if (paused || isEnded || timer !== null || waiting.size === 0) return;
  const delay = Math.max(0, Math.max(refreshedAt + pauseMs, leavingUntil) - performance.now());
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
  wait(topics);
  schedule();
}

// Events come at least every few seconds: two missed ones are an outage, although the connection is open. It is made anew,
// and the page read, since something on the way may hold back streams alone.
function listen(heartbeatMs) {
  clearTimeout(watch);
  watch = setTimeout(() => {
    sayCut();
    silences = Math.min(2 * silences, MOST_SILENCES);
    disconnect();
    connect();
    changed(["all"]);
  }, silences * (2 * heartbeatMs + 1000));
}

function connect() {
  const element = state();
  if (!element || source || document.hidden || paused || isEnded) return;
  const address = new URL(element.dataset.stream, location.href);
  const heartbeatMs = 1000 * element.dataset.heartbeatS;
  if (lastId) address.searchParams.set("after", lastId);
  const opened = (source = new EventSource(address));
  let isHeard = false;
  listen(heartbeatMs);
  setTimeout(() => isHeard || opened !== source || cutAt || say(t("Connecting"), false), OPENING_MS);
  for (const kind of ["position", "changed", "reload", "alive"]) {
    opened.addEventListener(kind, (event) => {
      [knownAt, silences] = [Date.now(), 1];
      listen(heartbeatMs);
      if (kind === "position") {
        isHeard = isStreaming = true;
        retryMs = RETRY_MS;
        sayLive();
      }
      if (kind !== "alive") lastId = event.lastEventId;
      if (kind === "changed") changed(JSON.parse(event.data));
      if (kind === "reload") changed(["all"]);
    });
  }
  opened.onerror = () => {
    isStreaming = false;
    sayCut();
    if (opened.readyState !== EventSource.CLOSED) return; // the browser connects again itself
    disconnect();
    setTimeout(() => {
      connect();
      changed(["all"]); // by which a session that has ended is noticed
    }, retryMs);
    retryMs = Math.min(2 * retryMs, 16 * RETRY_MS);
  };
}

function disconnect() {
  clearTimeout(watch);
  source?.close();
  source = null;
  isStreaming = false;
}

// What the form deletes must not be asked for again. A download leaves the page where it is: so only for a while.
function leave() {
  leavingUntil = performance.now() + LEAVING_MS;
  clearTimeout(timer);
  timer = null;
  schedule();
}

function pause(button) {
  paused = !paused;
  button.setAttribute("aria-pressed", String(paused));
  button.querySelector("span").textContent = paused ? t("Resume updates") : t("Pause updates");
  if (paused) {
    disconnect();
    cutAt = null;
    say(t("Paused at {time}", { time: time(Date.now()) }), false);
  } else {
    connect();
    schedule();
  }
}

function resume() {
  tryAgain();
  connect();
  changed(["all"]);
}

const resumeIfEnded = () => isEnded && resume();

export function start() {
  if (!state()) return;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-live-pause]");
    if (button) pause(button);
  });
  document.addEventListener("input", (event) => {
    isTyped ||= event.target.form?.getAttribute("method") === "post";
  });
  // Six tabs would use up the browser's connections to one host: only the visible page is live.
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : resumeIfEnded() || connect()));
  document.addEventListener("innkeeper:session", resume);
  addEventListener("focus", resumeIfEnded);
  document.addEventListener("close", resumeIfEnded, true);
  addEventListener("pagehide", disconnect);
  addEventListener("beforeunload", leave);
  // What htmx swaps in brings icons that this page did not have. A note that says the same stays: a click on its link
  // would be lost if that were replaced while the button is held.
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const page = new DOMParser().parseFromString(detail.serverResponse, "text/html");
    adoptIcons(page);
    const [old, fresh] = [detail.target, page].map((one) => one.querySelector(".ik-toast"));
    if (detail.target.id === "note" && fresh?.hasAttribute("hx-get") && old?.innerHTML === fresh.innerHTML) {
      detail.shouldSwap = false;
    }
  });
  // A fragment in use is refreshed when it is left.
  document.addEventListener("focusout", () => setTimeout(schedule));
  document.addEventListener("toggle", schedule, true);
  connect();
}
