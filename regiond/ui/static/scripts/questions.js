// The question before an action: the form of its page, in a dialog beside the link that leads there.
import { adoptIcons } from "./live.js";

async function ask(link) {
  const response = await fetch(link.href, { headers: { "HX-Request": "true" } }).catch(() => null);
  const page = response?.ok && new DOMParser().parseFromString(await response.text(), "text/html");
  const form = page && page.getElementById("question");
  if (!form) return location.assign(link.href); // the page itself says what is wrong
  adoptIcons(page);
  const dialog = document.createElement("dialog");
  dialog.className = "ik-dialog";
  dialog.setAttribute("aria-labelledby", "question-title");
  dialog.append(form);
  const menu = link.closest("[popover]");
  menu?.hidePopover(); // and so the focus returns to what opened it
  (menu ?? link).after(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  form.querySelector("[data-must-equal], input:not([type=hidden]), [data-cancel]").focus();
}

function onClick(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  const cancel = event.target.closest("dialog [data-cancel]");
  const link = event.target.closest("a[data-ask]");
  if (!cancel && !link) return;
  event.preventDefault();
  if (cancel) cancel.closest("dialog").close();
  else ask(link);
}

export function start() {
  document.addEventListener("click", onClick);
}
