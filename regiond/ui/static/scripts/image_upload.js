// Sends the chosen file in parts. A part whose answer is lost is not sent blindly again: the region says where to continue.
import { logIn } from "./session.js";
import { t } from "./texts.js";

const PART_BYTES = 4 * 1024 * 1024;
const TRIES = 6;
const MIB = 1024 * 1024;

const token = () => document.querySelector("meta[name=csrf-token]").content;
const pause = (ms) => new Promise((resume) => setTimeout(resume, ms));

class Refused extends Error {}

async function call(address, options = {}) {
  const headers = { ...options.headers, "X-CSRF-Token": token(), "HX-Request": "true" };
  const response = await fetch(address, { ...options, headers });
  if (response.headers.get("HX-Redirect")) {
    if (await logIn()) return call(address, options);
    throw new Refused(t("Your session has ended. Log in and upload the file again."));
  }
  if (!response.headers.get("Content-Type")?.startsWith("application/json")) throw new Error(t("Status {status}.", response));
  const answer = await response.json();
  if (response.ok) return answer;
  const texts = Object.entries(answer.problems).map(([name, problems]) => `${name ? `${name}: ` : ""}${problems.join(" ")}`);
  if (response.status === 409 || response.status >= 500) throw new Error(texts.join(" "));
  throw new Refused(texts.join(" "));
}

function show(form, text) {
  const problem = document.getElementById("upload-problem");
  problem.hidden = !text;
  problem.querySelector(".p-notification__message").textContent = text;
  if (text) problem.focus();
  form.querySelector("button[type=submit]").disabled = false;
}

function report(received, size) {
  const progress = document.getElementById("upload-progress");
  progress.hidden = false;
  progress.querySelector("[role=status]").textContent = t("{sent} of {size} MiB sent", { sent: Math.floor(received / MIB), size: Math.ceil(size / MIB) });
  progress.querySelector("rect").setAttribute("width", `${(100 * received) / size}%`);
}

async function sendParts(file, entry) {
  let failures = 0;
  while (entry.state === "uploading") {
    report(entry.received, file.size);
    try {
      const body = file.slice(entry.received, entry.received + PART_BYTES);
      const headers = { "Content-Type": "application/octet-stream" };
      entry = await call(`${entry.address}?offset=${entry.received}`, { method: "POST", headers, body });
      failures = 0;
    } catch (error) {
      failures += 1;
      if (error instanceof Refused || failures === TRIES) throw error;
      await pause(500 * 2 ** failures);
      entry = await call(entry.address).catch((lost) => {
        if (lost instanceof Refused) throw lost;
        return entry;
      });
    }
  }
}

async function upload(form) {
  const file = form.querySelector("input[type=file]").files[0];
  if (!file) return show(form, t("Choose a file."));
  show(form, "");
  const button = form.querySelector("button[type=submit]");
  const leaving = (event) => event.preventDefault();
  button.disabled = true;
  addEventListener("beforeunload", leaving);
  try {
    const body = new URLSearchParams(new FormData(form));
    body.set("size", file.size);
    await sendParts(file, await call(form.dataset.upload, { method: "POST", body }));
    removeEventListener("beforeunload", leaving);
    location.assign(form.dataset.done);
  } catch (error) {
    removeEventListener("beforeunload", leaving);
    show(form, error.message);
  }
}

for (const form of document.querySelectorAll("form[data-upload]")) {
  form.removeAttribute("method"); // it is not sent as a form
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    upload(form);
  });
}
