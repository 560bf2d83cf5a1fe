// Delays, animation frames, and retries after a failure.

/** The longest pause between two frames when the tab is hidden and draws none. */
const HIDDEN_FRAME_MS = 250;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 2_000;

/** Resolves after `ms`, or at once when `signal` aborts. */
export function delay(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}

/** Resolves with the next animation frame; a hidden tab has none, so a timer replaces it. */
export function nextFrame() {
  return new Promise((resolve) => {
    const done = () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      resolve();
    };
    const frame = requestAnimationFrame(done);
    const timer = setTimeout(done, HIDDEN_FRAME_MS);
  });
}

/** Returns a function that runs `draw` once in the next frame, however often it is called before. */
export function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    nextFrame().then(() => {
      asked = false;
      draw();
    });
  };
}

/**
 * Runs `step(client, succeeded)` again and again while the connection is open, until `signal`
 * aborts. Throws an error that a retry cannot mend. After any other error it waits for the
 * connection to change its state, at most for a delay, which grows until a step ends or calls
 * `succeeded`.
 */
export async function retryWhileOpen(connection, signal, step, onError) {
  let failures = 0;
  const succeeded = () => (failures = 0);
  while (!signal.aborted) {
    const client = await connection.ready(signal);
    if (!client) return;
    try {
      await step(client, succeeded);
      succeeded();
    } catch (error) {
      if (signal.aborted) return;
      if (error.retry === "never" || error.retry === undefined) throw error;
      onError(error);
      await connection.change(signal, backoff(failures));
      failures += 1;
    }
  }
}

function backoff(failures) {
  return Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(failures, 10));
}
