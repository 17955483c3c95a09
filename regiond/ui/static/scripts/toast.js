// Messages that belong to no place of the page. They stay until they are closed, or replaced by one of the same kind.

export function close(kind) {
  document.getElementById(`toast-${kind}`)?.remove();
}

// `login`, if it is given, is an address; it opens in another tab, so that the page stays.
export function tell(kind, title, message, login) {
  if (document.getElementById(`toast-${kind}`)?.textContent.includes(message)) return; // read aloud once
  close(kind);
  const toast = document.getElementById("toast").content.firstElementChild.cloneNode(true);
  toast.id = `toast-${kind}`;
  const [heading, text, link] = toast.querySelector(".p-notification__content").children;
  [heading.textContent, text.textContent] = [title, message];
  if (login) link.href = login;
  else link.remove();
  const before = document.activeElement;
  toast.querySelector("button").addEventListener("click", () => {
    toast.remove();
    if (before.isConnected) before.focus();
  });
  document.getElementById("toasts").append(toast);
}
