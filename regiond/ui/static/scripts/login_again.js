// The dialog that logs in on a page whose session has ended.
import { t } from "./texts.js";

const DEADLINE_MS = 15000; // the region computes password hashes one after the other
let asking = null; // while the dialog is open

async function send(form) {
  try {
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch(form.action, { method: "POST", headers: { "HX-Request": "true" }, body, signal: AbortSignal.timeout(DEADLINE_MS) });
    const kind = response.headers.get("Content-Type") ?? "";
    if (kind.includes("json")) return await response.json();
    return { error: kind.includes("plain") ? await response.text() : t("Status {status}.", response) };
  } catch {
    return { error: t("Innkeeper does not answer. Try again.") };
  }
}

// `resume` takes the new session and returns whether the page continues. Resolves to that, or to false without a login.
export function ask(resume) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("login").content.firstElementChild.cloneNode(true);
    const form = dialog.querySelector("form");
    const [button, problem] = [form.querySelector("[type=submit]"), form.querySelector("[role=alert]")];
    let isResumed = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (button.ariaDisabled) return;
      button.ariaDisabled = "true";
      const answer = await send(form);
      button.ariaDisabled = null;
      if (!answer.error) {
        isResumed = resume(answer);
        return dialog.close();
      }
      problem.textContent = answer.error;
      form.elements.password.select();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      asking = null;
      resolve(isResumed);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}
