// Round-trip time: the median of the last small calls, one every second.

import { delay, retryWhileOpen } from "./scheduling.js";

const SAMPLES = 30;
const EVERY_MS = 1_000;

export async function showLatency(connection, stream, problems) {
  const shown = document.querySelector("#rtt");
  const basis = document.querySelector("#rtt-basis");
  const samples = [];
  const never = new AbortController().signal;
  const measure = async (client) => {
    const start = performance.now();
    await client.readLatest(stream, 1);
    samples.push(performance.now() - start);
    if (samples.length > SAMPLES) samples.shift();
    shown.textContent = `${median(samples).toFixed(1)} ms`;
    basis.textContent = `median of ${samples.length}`;
    await delay(EVERY_MS);
  };
  connection.addEventListener("state", () => {
    if (connection.state === "open") return;
    samples.length = 0;
    shown.textContent = "–";
    basis.textContent = connection.unavailableReason;
  });
  try {
    await retryWhileOpen(connection, never, measure, (error) => problems.report("readLatest", error));
  } catch (error) {
    shown.textContent = "–";
    basis.textContent = "stopped";
    problems.report("readLatest", error);
  }
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
