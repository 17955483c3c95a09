// A form is sent once, and only when the region answers and the session lasts: otherwise the browser would replace the page,
// with all that was typed, by an error page or the login. It is sent as it was when its button was pressed: what is typed while
// the region is asked was not confirmed by anybody.
import { canSend } from "./session.js";

const sendable = new WeakSet(); // forms whose next submit was checked

const enable = (button) => button.removeAttribute("aria-disabled");

// Sends the values of then; only the token of the session, which may have begun again, is the present one.
function send(form, button, values) {
  const restore = ({ formData }) => {
    for (const name of new Set(formData.keys())) if (name !== "csrf") formData.delete(name);
    for (const [name, value] of values) if (name !== "csrf") formData.append(name, value);
  };
  sendable.add(form);
  form.addEventListener("formdata", restore);
  form.requestSubmit(button);
  form.removeEventListener("formdata", restore);
  sendable.delete(form); // the browser found a value that cannot be sent, and says so
}

async function onSubmit(event) {
  const form = event.target;
  if (form.getAttribute("method") !== "post") return;
  if (sendable.delete(form)) return;
  event.preventDefault();
  const button = event.submitter;
  if (button?.ariaDisabled) return;
  button?.setAttribute("aria-disabled", "true");
  const values = new FormData(form, button);
  form.dataset.sending = ""; // meanwhile a refresh does not replace it
  if (await canSend()) {
    send(form, button, values);
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
