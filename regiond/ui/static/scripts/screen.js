// The screen of a VM: pictures, keys and the pointer through WebSockets of the region, by VNC or SPICE.
import { canSend } from "./session.js";
import { t } from "./texts.js";
import { sharedClipboard } from "./screen_clipboard.js";
import { combination, keysOf, symbolOf } from "./screen_keys.js";

const find = (id) => document.getElementById(id);
const pane = find("screen-pane");
const place = find("screen");
const button = find("screen-connect");
const state = find("screen-state");
const tools = find("screen-tools");
const clipboard = find("screen-clipboard");
const PAUSE_MS = 15; // between the keys of a text: a guest that starts takes them slowly
const Native = WebSocket;
let viewer = null;
let isOpening = false;

const say = (text) => (state.textContent = text);

function end(text) {
  viewer = null;
  say(text);
  button.textContent = t("Connect");
  tools.hidden = true;
  place.hidden = true;
  place.replaceChildren();
  if (document.fullscreenElement) document.exitFullscreen();
}

function begun() {
  say(t("Connected. Ctrl-] gives the keyboard back to the page."));
  tools.hidden = false;
  viewer.focus();
}

// The last message of a connection is a text with the reason of its end, which no viewer understands.
function open(address, ended) {
  const socket = new Native(address, "binary");
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", (event) => {
    if (typeof event.data !== "string") return;
    event.stopImmediatePropagation();
    ended(JSON.parse(event.data).ended);
  });
  return socket;
}

function address() {
  const found = new URL(place.dataset.socket, location.href);
  found.protocol = found.protocol.replace("http", "ws");
  found.searchParams.set("screen", crypto.getRandomValues(new Uint32Array(4)).join("-"));
  return found.href;
}

async function vnc(over) {
  const { Rfb } = await import("../built/vnc.js");
  let reason = t("The connection to the region was lost.");
  const rfb = new Rfb(place, open(address(), (text) => (reason = text)), { shared: true });
  rfb.scaleViewport = true;
  rfb.background = "#000";
  rfb.addEventListener("connect", begun);
  rfb.addEventListener("disconnect", () => over(reason));
  rfb.addEventListener("clipboard", ({ detail }) => (clipboard.value = detail.text));
  return {
    focus: () => rfb.focus(),
    close: () => rfb.disconnect(),
    paste: (text) => rfb.clipboardPasteFrom(text),
    press: (codes) => {
      for (const code of codes) rfb.sendKey(symbolOf(code), code, true);
      for (const code of codes.toReversed()) rfb.sendKey(symbolOf(code), code, false);
    },
  };
}

async function spice(over) {
  const library = await import("../built/spice.js");
  const listening = new AbortController();
  let reason = "";
  // spice-html5 opens the connections of its channels itself, and does not close all of them.
  const sockets = [];
  window.WebSocket = class {
    constructor(uri) {
      const socket = open(uri, (text) => (reason ||= text));
      sockets.push(socket);
      return socket;
    }
  };
  const left = (text) => {
    window.WebSocket = Native;
    listening.abort();
    try {
      main.stop();
    } catch {} // it expects what an earlier end has taken away
    for (const socket of sockets) {
      // One that still connects fails by this, which the viewer would throw.
      socket.addEventListener("error", (event) => event.stopImmediatePropagation(), { capture: true });
      socket.close();
    }
    over(text);
  };
  const main = new library.SpiceMainConn({
    uri: address(), screen_id: "screen", password: "",
    onsuccess: begun,
    onerror: (error) => left(reason || error.message || t("The connection to the region was lost.")),
  });
  const offer = sharedClipboard(main, library.Constants, (text) => (clipboard.value = text));
  // It takes the place of the pointer on the canvas for that on the screen, which can be larger.
  for (const kind of ["mousemove", "mousedown", "mouseup"]) {
    place.addEventListener(kind, (event) => {
      const canvas = event.target;
      const [x, y] = [event.offsetX * canvas.width / canvas.clientWidth, event.offsetY * canvas.height / canvas.clientHeight];
      Object.defineProperties(event, { offsetX: { value: Math.round(x) }, offsetY: { value: Math.round(y) } });
    }, { capture: true, signal: listening.signal });
  }
  const send = (kind, code) => {
    const [key, message] = [new library.SpiceMsgcKeyDown(), new library.SpiceMiniData()];
    key.code = code;
    message.build_msg(kind, key);
    if (main.inputs?.state === "ready") main.inputs.send_msg(message);
  };
  // The bytes of a scan code in their order; a release has the highest bit of the last one.
  const scanCode = (code, released) => {
    const found = library.scanCodes[code];
    const last = (found & 0x7f) | (released ? 0x80 : 0);
    return found > 0xff ? 0xe0 | (last << 8) : last;
  };
  return {
    focus: () => place.querySelector("canvas")?.focus(),
    close: () => left(t("You closed the screen.")),
    paste: (text) => offer(text) || say(t("The VM has no clipboard: spice-vdagent does not run in it.")),
    press: (codes) => {
      for (const code of codes) send(library.Constants.SPICE_MSGC_INPUTS_KEY_DOWN, scanCode(code, false));
      for (const code of codes.toReversed()) send(library.Constants.SPICE_MSGC_INPUTS_KEY_UP, scanCode(code, true));
    },
  };
}

async function connect() {
  if (isOpening) return;
  isOpening = true;
  say(t("Connecting."));
  if (await canSend()) {
    place.hidden = false;
    button.textContent = t("Disconnect");
    let opened = null;
    const over = (reason) => (opened === null || viewer === opened) && end(reason);
    viewer = opened = await (place.dataset.protocol === "spice" ? spice(over) : vnc(over));
  } else say(t("Not connected."));
  isOpening = false;
}

button.addEventListener("click", () => {
  if (!viewer) return connect();
  const closed = viewer;
  viewer = null;
  closed.close();
  end(t("You closed the screen."));
});
find("screen-full").addEventListener("click", async () => {
  await pane.requestFullscreen();
  navigator.keyboard?.lock?.().catch(() => {}); // so that Esc and Alt-Tab reach the VM, where browsers have it
  viewer?.focus();
});
find("screen-send").addEventListener("click", () => {
  viewer?.press(combination(find("screen-combination").value));
  viewer?.focus();
});
find("screen-type").addEventListener("click", async () => {
  for (const keys of keysOf(clipboard.value)) {
    viewer?.press(keys);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  viewer?.focus();
});
find("screen-paste").addEventListener("click", () => viewer?.paste(clipboard.value));
// Keys go to the VM, Tab too. Ctrl-] gives the keyboard back to the page.
place.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey && event.key === "]")) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  button.focus();
}, { capture: true });
button.hidden = false;
