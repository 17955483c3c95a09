// A form is sent once, and only when the region answers and the session lasts: otherwise the browser would replace the page,
// with all that was typed, by an error page or the login.
import { canSend } from "./session.js";

const sendable = new WeakSet(); // forms whose next submit was checked

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
