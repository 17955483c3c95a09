// Messages that belong to no place of the page. They stay until they are closed, or replaced by one of the same kind.

export function close(kind) {
  document.getElementById(`toast-${kind}`)?.remove();
}

// With `label` there is a button that calls `act`.
export function tell(kind, title, message, label, act) {
  if (document.getElementById(`toast-${kind}`)?.textContent.includes(message)) return; // read aloud once
  close(kind);
  const toast = document.getElementById("toast").content.firstElementChild.cloneNode(true);
  toast.id = `toast-${kind}`;
  const [heading, text, button] = toast.querySelector(".p-notification__content").children;
  [heading.textContent, text.textContent] = [title, message];
  if (label) {
    button.textContent = label;
    button.addEventListener("click", act);
  } else button.remove();
  const before = document.activeElement;
  toast.querySelector("[data-close]").addEventListener("click", () => {
    toast.remove();
    if (before.isConnected) before.focus();
  });
  document.getElementById("toasts").append(toast);
}
