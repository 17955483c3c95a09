// The question before an action: the form of its page, and other ways to do it, in a dialog beside the link to it.
import { adoptIcons } from "./live.js";

export async function ask(link) {
  const response = await fetch(link.href, { headers: { "HX-Request": "true" } }).catch(() => null);
  const page = response?.ok && new DOMParser().parseFromString(await response.text(), "text/html");
  const form = page && page.getElementById("question");
  if (!form) return location.assign(link.href); // the page itself says what is wrong
  adoptIcons(page);
  const dialog = document.createElement("dialog");
  dialog.className = "ik-dialog";
  dialog.setAttribute("aria-labelledby", "question-title");
  dialog.append(form, ...page.querySelectorAll("#question ~ *"));
  const menu = link.closest("[popover]");
  menu?.hidePopover(); // and so the focus returns to what opened it
  (menu ?? link).after(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  form.querySelector("[data-cancel]").addEventListener("click", (event) => {
    event.preventDefault();
    dialog.close();
  });
  dialog.showModal();
  form.querySelector("[data-must-equal], input:not([type=hidden]), select, textarea, [data-cancel]").focus();
}
