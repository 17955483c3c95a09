// What the page of a screen uses of noVNC. The page says why a screen has ended; the browser's log need not.
import { initLogging } from "./node_modules/@novnc/novnc/core/util/logging.js";

initLogging("none");
export { default as Rfb } from "@novnc/novnc";
