// Times in the zone of the browser. Pages have them in UTC, which is shown under the pointer, and everywhere on request.
import { keep, recall } from "./storage.js";

const TEXT = /^(\d\d:\d\d:\d\d(?:\.\d+)?|\d{1,2} [A-Z][a-z]+ (\d\d:\d\d|\d{4}))( UTC)?$/;
const month = (at, length) => at.toLocaleString("en-US", { month: length });
let isUtc = recall("times") === "utc";

// In the format of the server. A time of today in UTC may be of another day here.
function local(at, [, given, rest, utc]) {
  const clock = at.toTimeString();
  const now = new Date();
  const isOtherDay = at.toDateString() !== now.toDateString() && at.getUTCDate() === now.getUTCDate();
  const day = `${at.getDate()} ${month(at, given.split(" ")[1]?.length > 3 ? "long" : "short")} `;
  const text = rest?.length === 4 ? day + at.getFullYear() : rest || isOtherDay ? day + clock.slice(0, 5) : clock.slice(0, 8) + given.slice(8);
  return utc ? `${text} ${at.toLocaleTimeString("en-GB", { timeZoneName: "short" }).split(" ")[1]}` : text;
}

// `root` may be a page that was fetched and is not shown yet. Texts such as "5 min ago" stay.
export function localize(root) {
  root.querySelector("[data-times]")?.removeAttribute("disabled");
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const found = TEXT.exec((time.dataset.text ??= time.textContent.trim()));
    if (!found || !at.getTimezoneOffset()) continue;
    time.dataset.utc = at.toISOString().replace("T", " ").replace(/\..*/, " UTC");
    time.textContent = isUtc ? found[0] : local(at, found);
  }
}

export function start() {
  localize(document);
  document.addEventListener("htmx:afterSwap", () => localize(document));
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-times]")) return;
    isUtc = !isUtc;
    keep("times", isUtc ? "utc" : "");
    localize(document);
  });
}
