// The demo page as its user sees it: actions and waits for its tests.

import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";
import path from "node:path";

import { decode } from "./spec-client.mjs";

/** The message that Chromium prints on the console while the proxy is down. */
const EXPECTED_WHILE_DOWN = /^WebSocket connection to '.*' failed/;

/** The page under test. Create it before the page is opened, so that it sees all messages. */
export class Demo {
  proxyDown = false;
  /** The messages that the page sent, in order. */
  sent = [];

  constructor(page, stream, complaints = []) {
    this.page = page;
    this.stream = stream;
    this.complaints = complaints;
    page.on("pageerror", (error) => complaints.push(`uncaught: ${error.stack ?? error}`));
    page.on("console", (message) => {
      if (!["error", "warning"].includes(message.type())) return;
      if (this.proxyDown && EXPECTED_WHILE_DOWN.test(message.text())) return;
      complaints.push(`${message.type()}: ${message.text()}`);
    });
    page.on("websocket", (socket) => {
      socket.on("framesent", ({ payload }) => {
        this.sent.push(...decode("client", typeof payload === "string" ? "json" : "bin", payload));
      });
    });
  }

  at(testid) {
    return this.page.getByTestId(testid);
  }

  entry(id) {
    return this.page.locator(`#entries [data-id="${id}"]`);
  }

  /** Waits until the page has drawn `count` frames. */
  frames(count) {
    return this.page.evaluate(async (count) => {
      while (count--) await new Promise(requestAnimationFrame);
    }, count);
  }

  state(state) {
    return this.page.locator(`#road[data-state="${state}"]`).waitFor();
  }

  connected() {
    return this.state("open");
  }

  /** Publishes with the form, waits until the list shows the entry, and returns its id. */
  async publish(fields, options) {
    const id = await this.add(fields, options);
    await this.entry(id).waitFor();
    return id;
  }

  /** Publishes with the form, and returns the id of the entry. */
  async add(fields, { byKeyboard = false } = {}) {
    const rows = this.at("field-row");
    while ((await rows.count()) < fields.length) await this.at("add-field").click();
    while ((await rows.count()) > fields.length) await this.at("remove-field").last().click();
    for (const [index, [name, value]] of fields.entries()) {
      await this.at("field-name").nth(index).fill(name);
      await this.at("field-value").nth(index).fill(value);
    }
    const before = await this.at("published").textContent();
    if (byKeyboard) await this.at("field-value").last().press("Enter");
    else await this.at("publish").click();
    const note = await this.page.waitForFunction((before) => {
      const text = document.querySelector("#published").textContent;
      return text !== before && text.startsWith("Added ") && text;
    }, before);
    return (await note.jsonValue()).match(/^Added (\d+-\d+)\.$/)[1];
  }

  /** The entries of the live list, from the top. */
  list() {
    return this.at("entry").evaluateAll((rows) =>
      rows.map((row) => ({
        id: row.querySelector(".entry-id").textContent,
        fields: [...row.querySelectorAll(".entry-field")].map((field) => [
          field.querySelector(".entry-name").textContent,
          field.querySelector(".entry-value").textContent,
        ]),
      })),
    );
  }

  /** The rows of the live list, from the top: the id of an entry, or "gap". */
  rows() {
    return this.page.locator("#entries > li").evaluateAll((rows) => rows.map((row) => row.dataset.id ?? row.dataset.testid));
  }

  /** Pauses the tail, publishes `count` entries with a maxlen of `kept`, resumes, and returns all ids. */
  async makeGap(count, kept) {
    await this.at("pause").click();
    await this.at("maxlen").fill(String(kept));
    const ids = [];
    for (let n = 0; n < count; n += 1) ids.push(await this.add([["n", String(n)]]));
    await this.at("pause").click();
    await this.entry(ids.at(-1)).waitFor();
    return ids;
  }

  /** The pending ids of each consumer. */
  pending() {
    return this.at("consumer").evaluateAll((consumers) =>
      consumers.map((consumer) => [...consumer.querySelectorAll(".pending li")].map((row) => row.dataset.id)),
    );
  }

  pendingCount(count) {
    return this.page.waitForFunction((count) => document.querySelectorAll(".pending li").length === count, count);
  }

  /** The number shown in `testid`. */
  async count(testid) {
    return Number((await this.at(testid).textContent()).replaceAll(",", ""));
  }

  /** Waits until the number shown in `testid` is at least `min`. */
  atLeast(testid, min) {
    return this.page.waitForFunction(
      ([testid, min]) => Number(document.querySelector(`[data-testid="${testid}"]`).textContent.replaceAll(",", "")) >= min,
      [testid, min],
    );
  }

  /** The number shown in `testid` after publishing at a rate was stopped and all adds are answered. */
  async settled(testid) {
    // The page draws once per frame, so the next frame may still show the state before the stop.
    await this.page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
    await this.shows("rate-in-flight", 0);
    return this.count(testid);
  }

  /** Waits until the number shown in `testid` is `count`. The page shows 1000 as "1,000". */
  shows(testid, count) {
    assert.ok(Number.isSafeInteger(count), `the page cannot show ${count}`);
    return this.page.waitForFunction(
      ([testid, count]) => Number(document.querySelector(`[data-testid="${testid}"]`).textContent.replaceAll(",", "")) === count,
      [testid, count],
    );
  }

  /** Presses Tab until the focus is on an element of `testid`. */
  async tabTo(testid) {
    for (let presses = 0; presses < 80; presses += 1) {
      await this.page.keyboard.press("Tab");
      if ((await this.page.evaluate(() => document.activeElement.dataset.testid)) === testid) return;
    }
    assert.fail(`80 presses of Tab did not reach ${testid}`);
  }
}

export const CHROMIUM_FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Finds the browser: STREAMGATE_CHROMIUM, or the first of its usual names on PATH. */
export function chromiumPath() {
  if (process.env.STREAMGATE_CHROMIUM) return process.env.STREAMGATE_CHROMIUM;
  const folders = (process.env.PATH ?? "").split(path.delimiter);
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    for (const folder of folders) {
      const candidate = path.join(folder, name);
      try {
        accessSync(candidate, constants.X_OK);
        return candidate;
      } catch {
        continue;
      }
    }
  }
  assert.fail("no Chromium on PATH; `cargo xtask setup` installs one, or set STREAMGATE_CHROMIUM");
}

/** The relative luminance of an sRGB colour, as WCAG defines it. */
export function luminance(rgb) {
  const [r, g, b] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(a, b) {
  const [light, dark] = [luminance(a), luminance(b)].toSorted((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}
