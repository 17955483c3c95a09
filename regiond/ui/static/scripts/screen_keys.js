// Keys of a US keyboard by the names that browsers give their places: which keys make a combination, or a text.
const SYMBOLS = {
  ControlLeft: 0xffe3, AltLeft: 0xffe9, ShiftLeft: 0xffe1, MetaLeft: 0xffeb, Delete: 0xffff, Backspace: 0xff08, Tab: 0xff09,
  Enter: 0xff0d, Escape: 0xff1b, PrintScreen: 0xff61,
};
const SIGNS = {
  Backquote: "`~", Digit1: "1!", Digit2: "2@", Digit3: "3#", Digit4: "4$", Digit5: "5%", Digit6: "6^", Digit7: "7&", Digit8: "8*",
  Digit9: "9(", Digit0: "0)", Minus: "-_", Equal: "=+", BracketLeft: "[{", BracketRight: "]}", Backslash: "\\|", Semicolon: ";:",
  Quote: "'\"", Comma: ",<", Period: ".>", Slash: "/?", Space: " ", Enter: "\n", Tab: "\t",
};
const places = new Map();
for (const [code, signs] of Object.entries(SIGNS)) [...signs].forEach((sign, at) => places.set(sign, { code, shift: at === 1 }));
for (const letter of "abcdefghijklmnopqrstuvwxyz") {
  const code = `Key${letter.toUpperCase()}`;
  places.set(letter, { code, shift: false });
  places.set(letter.toUpperCase(), { code, shift: true });
}

// The number that VNC has for a key, without Shift.
export function symbolOf(code) {
  const f = /^F(\d+)$/.exec(code);
  if (f) return 0xffbd + Number(f[1]);
  const letter = /^Key(.)$/.exec(code);
  return SYMBOLS[code] ?? (letter ? letter[1].toLowerCase().charCodeAt(0) : SIGNS[code].charCodeAt(0));
}

// The keys of each character that such a keyboard has, as lists of keys that are pressed together.
export const keysOf = (text) => [...text.replaceAll("\r", "")].filter((sign) => places.has(sign)).map((sign) => {
  const { code, shift } = places.get(sign);
  return shift ? ["ShiftLeft", code] : [code];
});

// "Control+Alt+Delete" as the keys that make it.
export const combination = (name) => name.split("+").map((key) => (["Control", "Alt", "Shift", "Meta"].includes(key) ? `${key}Left` : key));
