// The session of this page. One that has ended begins again in a dialog on the page, so that nothing that was typed is lost.
// A page never acts as another user than the one it was made for.
import { t } from "./texts.js";
import { close, tell } from "./toast.js";

const DEADLINE_MS = 5000;
const interrupted = new Map(); // requests of htmx, by element
export let isEnded = false; // until it may have begun again, the page asks for nothing by itself
let isAsking = false; // for the password: a preview that is sent meanwhile would have the token of the session that ended

const meta = () => document.querySelector("meta[name=csrf-token]");

// Each answer has another token. Those of one session are all valid, those of an earlier session are not.
export function adopt(csrf) {
  isEnded = false;
  meta().content = csrf;
  document.body.setAttribute("hx-headers", JSON.stringify({ "X-CSRF-Token": csrf }));
  for (const field of document.querySelectorAll("input[name=csrf]")) field.value = csrf;
  close("session");
}

// Whether the browser's session is no longer that of the page's user; then the page is loaded again, at once or on request.
export function isOther(username, atOnce) {
  const before = meta().dataset.user;
  if (username === before) return false;
  if (atOnce) location.reload();
  else tell("session", t("You are now logged in as {name}", { name: username }), t("This page was made for {name}, so nothing was sent.", { name: before }), t("Load the page again"), () => location.reload());
  return true;
}

function resume(answer) {
  isAsking = false;
  if (isOther(answer.username, true)) return false;
  adopt(answer.csrf);
  close("sending");
  for (const [element, { verb, path }] of interrupted) {
    if (element.isConnected) htmx.ajax(verb, path, { source: element });
  }
  interrupted.clear();
  document.dispatchEvent(new CustomEvent("innkeeper:session"));
  return true;
}

// Resolves to whether this page's user has a session again. What asks for the password is loaded when it is needed.
export async function logIn() {
  const { ask } = await import("./login_again.js");
  isAsking = true;
  return ask(resume).finally(() => (isAsking = false));
}

// For what the user did not ask for just now: a dialog would take the keys that are being typed.
export function tellEnded() {
  isEnded = true;
  if (!document.querySelector("dialog[open]")) tell("session", t("Your session has ended"), t("What you typed is kept. Log in to continue on this page."), t("Log in"), logIn);
}

// What the page of an error says.
export async function errorOf(response) {
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return page.querySelector("[data-error]")?.textContent ?? t("Status {status}.", response);
}

// Whether a form can be sent now; asks for the password if it has to, and says why not.
export async function canSend() {
  try {
    const response = await fetch(meta().dataset.session, { headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(DEADLINE_MS) });
    if (response.ok) {
      const { csrf, username } = await response.json();
      if (isOther(username)) return false;
      adopt(csrf);
      close("sending");
      return true;
    }
    if (response.status !== 401) {
      tell("sending", t("Nothing was sent"), [await errorOf(response), t("What you typed is kept.")].join(" "));
      return false;
    }
  } catch {
    tell("sending", t("Nothing was sent"), t("Innkeeper does not answer. What you typed is kept. Try again when the page is live."));
    return false;
  }
  const isResumed = await logIn();
  if (!isResumed) tellEnded();
  return isResumed;
}

async function onAnswer(event) {
  const { xhr, elt, requestConfig } = event.detail;
  if (xhr.status === 401) {
    event.preventDefault(); // htmx would leave the page for the login
    interrupted.set(elt, requestConfig);
    tellEnded();
  } else if (xhr.status === 403 && requestConfig.verb === "post" && !requestConfig.headers["X-Again"]) {
    event.preventDefault(); // perhaps its user has logged in again in another tab
    if (await canSend()) htmx.ajax("post", requestConfig.path, { source: elt, headers: { "X-Again": "1" } });
  }
}

// The user has perhaps logged in in another tab, or closed the dialog that was in the way of the notice.
export const tryAgain = () => (isEnded = false);

// Requests of the page itself, such as those of a log each few seconds, and those that wait for the password.
function onRequest(event) {
  const { elt, requestConfig } = event.detail;
  if (isAsking) interrupted.set(elt, requestConfig);
  if (isAsking || (isEnded && requestConfig.headers["X-Live"])) event.preventDefault();
}

export function start() {
  document.addEventListener("htmx:beforeRequest", onRequest);
  document.addEventListener("htmx:beforeOnLoad", onAnswer);
}
