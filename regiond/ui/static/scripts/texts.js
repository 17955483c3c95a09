// Texts in the reader's language: t("Paused at {time}", { time }). The page gives those that are translated.
const given = document.getElementById("texts");
const translated = given ? JSON.parse(given.textContent) : {};

export const t = (message, values = {}) => (translated[message] ?? message).replace(/{(\w+)}/g, (_, name) => values[name]);
