// Wires the page together: one connection, one stream, everything else hangs on them.

import { Chart } from "./chart.js";
import { Connection } from "./connection.js";
import { Group } from "./group.js";
import { showLatency } from "./latency.js";
import { Problems } from "./problems.js";
import { publishAtRate, publishByHand } from "./publisher.js";
import { LiveStream } from "./live-stream.js";

const stream = new URL(location.href).searchParams.get("stream") || "demo";
// Names this tab's entries and consumers, so that tabs that share a group do not share a name.
const tab = Math.random().toString(36).slice(2, 5).padEnd(3, "0");

document.title = `${stream} · streamgate`;
document.querySelector("#stream").value = stream;
document.querySelector("#live-name").textContent = stream;
document.querySelector("#second-tab").href = `?${new URLSearchParams({ stream })}`;

const problems = new Problems();
const url = new URL("./v1/ws", location.href);
url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
url.search = "";
url.hash = "";

const connection = new Connection(url.href, problems);
const live = new LiveStream(connection, stream, new Chart(), problems);
new Group(connection, stream, tab, live, problems);
publishByHand(connection, stream, tab, problems);
publishAtRate(connection, stream, tab, problems);

connection.open();
showLatency(connection, stream, problems);
