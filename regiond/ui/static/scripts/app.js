// Every page's behaviour beyond links and forms; without it the pages still read and post.
import { start as startControls } from "./controls.js";
import { start as startLive } from "./live.js";
import { start as startSending } from "./sending.js";
import { start as startSession } from "./session.js";
import { start as startTheme } from "./theme_button.js";
import { start as startTimes } from "./times.js";

startTimes();
startTheme();
startControls();
startSession();
startSending();
startLive();
