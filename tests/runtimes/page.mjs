// Runs the bridge in a page of a browser.

import { fromQuery } from "./bridge.mjs";

await fromQuery(location.href);
