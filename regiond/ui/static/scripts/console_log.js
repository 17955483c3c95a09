// A log that follows its guest keeps showing its end, unless its reader has scrolled up.
const atEnd = (log) => log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
let wasAtEnd = true;

for (const log of document.querySelectorAll("[data-follow]")) log.scrollTop = log.scrollHeight;
document.addEventListener("htmx:beforeSwap", ({ target }) => {
  if (target.matches("[data-follow]")) wasAtEnd = atEnd(target);
});
document.addEventListener("htmx:afterSwap", ({ target }) => {
  if (target.matches("[data-follow]") && wasAtEnd) target.scrollTop = target.scrollHeight;
});
