// The terminal of a VM's console page: keys and output through a WebSocket of the region.
import "./style_sheets.js";
import { canSend } from "./session.js";
import { t } from "./texts.js";
import { Terminal } from "../built/xterm.js";

const place = document.getElementById("terminal");
const button = document.getElementById("terminal-connect");
const sizing = document.getElementById("terminal-size");
const state = document.getElementById("terminal-state");
let socket = null;
let terminal = null;
let isOpening = false;

const say = (text) => (state.textContent = text);

function end(text) {
  say(text);
  socket = null;
  button.textContent = t("Connect");
  if (terminal) terminal.options.disableStdin = true;
  sizing.hidden = true;
}

// A serial port has no size, so the VM is told of it only by a command at its prompt.
function type(text) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(new TextEncoder().encode(text));
}

// As many columns and rows as the pane has room for.
function fit() {
  const screen = place.querySelector(".xterm-screen");
  if (!screen?.clientWidth || place.hidden) return;
  const style = getComputedStyle(place);
  const width = place.clientWidth - 2 * parseFloat(style.paddingLeft);
  const height = place.clientHeight - 2 * parseFloat(style.paddingTop);
  const columns = Math.max(20, Math.floor(width / (screen.clientWidth / terminal.cols)));
  const rows = Math.max(6, Math.floor(height / (screen.clientHeight / terminal.rows)));
  if (columns !== terminal.cols || rows !== terminal.rows) terminal.resize(columns, rows);
  sizing.textContent = t("Set {columns} × {rows} in the VM", { columns, rows });
}

// Keys go to the VM, Tab too. Ctrl-] gives the keyboard back to the page.
function leaves(event) {
  if (!(event.ctrlKey && event.key === "]")) return false;
  if (event.type === "keydown") button.focus();
  event.preventDefault();
  return true;
}

function show() {
  terminal?.dispose();
  terminal = new Terminal({ cols: 80, rows: 24, scrollback: 2000, screenReaderMode: true, fontFamily: getComputedStyle(place).fontFamily });
  place.hidden = false;
  terminal.open(place);
  terminal.attachCustomKeyEventHandler((event) => !leaves(event));
  terminal.onData(type);
  fit();
}

function connect() {
  show();
  say(t("Connecting."));
  button.textContent = t("Disconnect");
  let reason = t("The connection to the region was lost.");
  const address = new URL(place.dataset.socket, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const opened = (socket = new WebSocket(address));
  opened.binaryType = "arraybuffer";
  opened.onopen = () => {
    say(t("Connected. Ctrl-] gives the keyboard back to the page."));
    sizing.hidden = false;
    terminal.focus();
  };
  opened.onmessage = ({ data }) => {
    if (typeof data === "string") reason = JSON.parse(data).ended;
    else terminal.write(new Uint8Array(data));
  };
  opened.onclose = () => socket === opened && end(reason);
}

// Once, although the session is asked for first.
async function openOnce() {
  if (isOpening) return;
  isOpening = true;
  say(t("Connecting."));
  if (await canSend()) connect();
  else say(t("Not connected."));
  isOpening = false;
}

button.addEventListener("click", () => {
  if (!socket) return openOnce();
  const closed = socket;
  end(t("You closed the console."));
  closed.close();
});
sizing.addEventListener("click", () => {
  type(`stty columns ${terminal.cols} rows ${terminal.rows}\r`);
  terminal.focus();
});
new ResizeObserver(fit).observe(place);
button.hidden = false;
