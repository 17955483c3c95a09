// The terminal of a VM's console page: keys and output through a WebSocket of the region.
import "./style_sheets.js";
import { canSend } from "./session.js";
import { Terminal } from "../built/xterm.js";

const place = document.getElementById("terminal");
const button = document.getElementById("terminal-connect");
const state = document.getElementById("terminal-state");
let socket = null;
let terminal = null;

const say = (text) => (state.textContent = text);

function end(text) {
  say(text);
  socket = null;
  button.textContent = "Connect";
  if (terminal) terminal.options.disableStdin = true;
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
  const encoder = new TextEncoder();
  terminal.onData((text) => socket?.readyState === WebSocket.OPEN && socket.send(encoder.encode(text)));
}

function connect() {
  show();
  say("Connecting.");
  button.textContent = "Disconnect";
  let reason = "The connection to the region was lost.";
  const address = new URL(place.dataset.socket, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const opened = (socket = new WebSocket(address));
  opened.binaryType = "arraybuffer";
  opened.onopen = () => {
    say("Connected. Ctrl-] gives the keyboard back to the page.");
    terminal.focus();
  };
  opened.onmessage = ({ data }) => {
    if (typeof data === "string") reason = JSON.parse(data).ended;
    else terminal.write(new Uint8Array(data));
  };
  opened.onclose = () => socket === opened && end(reason);
}

button.addEventListener("click", async () => {
  if (!socket) return (await canSend()) && connect();
  const closed = socket;
  end("You closed the console.");
  closed.close();
});
button.hidden = false;
