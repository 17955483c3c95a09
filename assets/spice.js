// What the page of a screen uses of spice-html5, and the scan codes of keys, which noVNC has.
export { SpiceMainConn } from "./node_modules/@spice-project/spice-html5/src/main.js";
export { SpiceMiniData, SpiceMsgcKeyDown } from "./node_modules/@spice-project/spice-html5/src/spicemsg.js";
export { Constants } from "./node_modules/@spice-project/spice-html5/src/enums.js";
export { default as scanCodes } from "./node_modules/@novnc/novnc/core/input/xtscancodes.js";
