// The login page: theme, and a button that shows the password.
import { t } from "./texts.js";
import { start } from "./theme_button.js";

start();
for (const button of document.querySelectorAll("[data-show-password]")) {
  const field = document.getElementById(button.getAttribute("aria-controls"));
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = field.type === "password";
    field.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
    button.querySelector("span").textContent = shown ? t("Hide") : t("Show");
  });
}
