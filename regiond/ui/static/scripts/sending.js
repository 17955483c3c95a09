// A form is sent once, and only when the region answers and the session lasts: otherwise the browser would replace the page,
// with all that was typed, by an error page or the login.
import { close, tell } from "./toast.js";

const DEADLINE_MS = 5000;
const KEPT = "What you typed is kept.";
const sendable = new WeakSet(); // forms whose next submit was checked

const token = () => document.querySelector("meta[name=csrf-token]");

// A user who has logged in again in another tab has another session.
function adopt(csrf) {
  if (token().content === csrf) return;
  token().content = csrf;
  document.body.setAttribute("hx-headers", JSON.stringify({ "X-CSRF-Token": csrf }));
  for (const field of document.querySelectorAll("input[name=csrf]")) field.value = csrf;
}

export function tellSessionEnded(address) {
  const login = new URL(address, location.href);
  login.searchParams.set("next", location.pathname + location.search); // not that of the question
  tell("session", "Your session has ended", `${KEPT} Log in, then come back to this page.`, login.href);
}

async function errorOf(response) {
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return page.querySelector("[data-error]")?.textContent ?? `Status ${response.status}.`;
}

// Whether a form can be sent now; if not, it says why.
async function canSend() {
  try {
    const response = await fetch(token().dataset.session, { headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(DEADLINE_MS) });
    if (response.ok) {
      adopt((await response.json()).csrf);
      close("session");
      close("sending");
      return true;
    }
    const login = response.headers.get("HX-Redirect");
    if (login) tellSessionEnded(login);
    else tell("sending", "Nothing was sent", `${await errorOf(response)} ${KEPT}`);
  } catch {
    tell("sending", "Nothing was sent", `Innkeeper does not answer. ${KEPT} Try again when the page is live.`);
  }
  return false;
}

const enable = (button) => button.removeAttribute("aria-disabled");

async function onSubmit(event) {
  const form = event.target;
  if (form.getAttribute("method") !== "post") return;
  if (sendable.delete(form)) return;
  event.preventDefault();
  const button = event.submitter;
  if (button?.ariaDisabled) return;
  button?.setAttribute("aria-disabled", "true");
  form.dataset.sending = ""; // meanwhile a refresh does not replace it
  if (await canSend()) {
    sendable.add(form);
    form.requestSubmit(button);
  } else if (button) {
    enable(button);
  }
  delete form.dataset.sending;
}

export function start() {
  document.addEventListener("submit", onSubmit);
  // The browser comes back to a page whose form was sent.
  addEventListener("pageshow", () => document.querySelectorAll("button[aria-disabled]").forEach(enable));
}
