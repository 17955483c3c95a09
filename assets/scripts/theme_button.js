// The buttons that change the theme, and the words that name it.
const root = document.documentElement;

export function show() {
  for (const name of document.querySelectorAll("[data-theme-name]")) {
    name.textContent = root.classList.contains("is-dark") ? "Dark" : "Light";
  }
}

export function start() {
  show();
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    const chosen = root.classList.toggle("is-dark") ? "dark" : "light";
    try {
      localStorage.setItem("theme", chosen);
    } catch {
      // storage is off: the choice lasts as long as the page
    }
    show();
  });
}
