// The question before an action: the form of its page, and other ways to do it, in a dialog beside the link to it.
import { adoptIcons } from "./live.js";
import { logIn, tellEnded } from "./session.js";
import { t } from "./texts.js";
import { tell } from "./toast.js";

const DEADLINE_MS = 15000;
let isAsking = false; // also until the question has come, so that a double click asks once

function tellFailed(why) {
  tell("sending", t("The question could not be shown"), [why, t("What you typed is kept.")].join(" "));
}

// The page of the question, or null after saying why there is none: the page of the link stays, with all that was typed.
async function fetchPage(link) {
  let response, content;
  try {
    response = await fetch(link.href, { headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(DEADLINE_MS) });
    content = await response.text();
  } catch {
    return tellFailed(t("Innkeeper does not answer."));
  }
  if (response.status === 401) return (await logIn()) ? fetchPage(link) : tellEnded();
  const page = new DOMParser().parseFromString(content, "text/html");
  if (page.getElementById("question")) return page;
  const problem = page.querySelector("[data-error]");
  if (problem) return tellFailed(problem.textContent);
  location.assign(link.href); // the page itself says what is wrong
}

function show(page, link) {
  const form = page.getElementById("question");
  adoptIcons(page);
  const dialog = document.createElement("dialog");
  dialog.className = "ik-dialog";
  dialog.setAttribute("aria-labelledby", "question-title");
  dialog.append(form, ...page.querySelectorAll("#question ~ *"));
  const menu = link.closest("[popover]");
  menu?.hidePopover();
  // After a table, whose cells neither wrap their text nor begin it at the same side.
  if (link.isConnected) (menu ?? link.closest("table") ?? link).after(dialog);
  else document.getElementById("main").append(dialog); // a refresh has replaced the link meanwhile
  dialog.addEventListener("close", () => dialog.remove());
  form.querySelector("[data-cancel]").addEventListener("click", (event) => {
    event.preventDefault();
    dialog.close();
  });
  // To where the focus returns: not every browser moves it to a link or button that is clicked.
  (menu ? document.querySelector(`[popovertarget="${menu.id}"]`) : link)?.focus();
  dialog.showModal();
  form.querySelector("[data-must-equal], input:not([type=hidden]), select, textarea, [data-cancel]").focus();
}

export async function ask(link) {
  if (isAsking) return;
  isAsking = true;
  try {
    const page = await fetchPage(link);
    if (page) show(page, link);
  } finally {
    isAsking = false;
  }
}
