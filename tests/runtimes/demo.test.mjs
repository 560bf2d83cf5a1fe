// The demo page in a real Chromium, on the real proxy, by clicking it.
//
// STREAMGATE_BIN        the proxy              (default target/debug/streamgate)
// STREAMGATE_WWW        the folder it serves   (default target/www)
// STREAMGATE_RUNTIMES   where node_modules is  (default target/runtimes)
// STREAMGATE_CHROMIUM   the browser            (default: the first one on PATH)

import assert from "node:assert/strict";
import { accessSync, constants, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, afterEach, before, describe, test } from "node:test";

import { Proxy, fromTarget, workspace } from "./proxy.mjs";

const www = fromTarget("STREAMGATE_WWW", "www");
const screenshots = path.join(workspace, "target/screenshots");
const { chromium } = createRequire(path.join(fromTarget("STREAMGATE_RUNTIMES", "runtimes"), "package.json"))("playwright-core");

const CHROMIUM_FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** Longest wait for anything on the page; a reconnect may pause for some seconds. */
const WAIT_MS = 20_000;
/** What Chromium itself says on the console while nobody listens on the port. */
const EXPECTED_WHILE_DOWN = /^WebSocket connection to '.*' failed/;

let browser;
let proxy;
let streams = 0;
let opened = [];

before(async () => {
  mkdirSync(screenshots, { recursive: true });
  browser = await chromium.launch({ executablePath: chromiumPath(), args: CHROMIUM_FLAGS });
  proxy = await Proxy.start("--www", www);
});

after(async () => {
  await browser?.close();
  await proxy?.stop();
});

afterEach(async () => {
  const closing = opened;
  opened = [];
  for (const demo of closing) await demo.page.context().close();
  for (const demo of closing) assert.deepEqual(demo.complaints, [], "the page complained on its console");
});

describe("demo page", { timeout: 300_000 }, () => {
  test("connects and measures the round trip", async () => {
    const demo = await open();
    await demo.page.waitForFunction(() => /^\d+\.\d ms$/.test(document.querySelector("#rtt").textContent));
    const trip = Number.parseFloat(await demo.at("rtt").textContent());
    assert.ok(trip >= 0 && trip < 1_000, `a round trip of ${trip} ms`);
    assert.equal(await demo.at("connection-state").textContent(), "Connected");
  });

  test("an entry published by hand appears on top, fields in order and names repeated", async () => {
    const demo = await open();
    const first = await demo.publish([["event", "first"]]);
    const fields = [["b", "2"], ["a", "1"], ["b", "two 🙂"], ["", "nameless"]];
    const id = await demo.publish(fields);
    assert.deepEqual(await demo.list(), [
      { id, fields },
      { id: first, fields: [["event", "first"]] },
    ]);
    assert.equal(await demo.at("total").textContent(), "2");
  });

  test("entries from before the page opened are listed, and not counted as received", async () => {
    const demo = await open();
    const id = await demo.publish([["event", "early"]]);
    const late = await open({ stream: demo.stream });
    await late.entry(id).waitFor();
    assert.deepEqual(await late.list(), [{ id, fields: [["event", "early"]] }]);
    assert.equal(await late.at("total").textContent(), "0");
  });

  test("a held list stands still while entries are counted, and catches up", async () => {
    const demo = await open();
    const first = await demo.publish([["n", "1"]]);
    await demo.at("hold").click();
    await demo.at("publish").click();
    await demo.shows("total", "2");
    assert.deepEqual((await demo.list()).map(({ id }) => id), [first]);
    assert.equal(await demo.at("hold").getAttribute("aria-pressed"), "true");
    await demo.at("hold").click();
    await demo.at("entry").nth(1).waitFor();
  });

  test("the stream is chosen in the page and kept in its address", async () => {
    const demo = await open();
    await demo.publish([["n", "1"]]);
    const other = `${demo.stream} ü`;
    await demo.at("stream-name").fill(other);
    await demo.at("stream-name").press("Enter");
    await demo.page.waitForURL((url) => url.searchParams.get("stream") === other);
    await demo.connected();
    await demo.at("live-empty").waitFor();
    await demo.page.goBack();
    await demo.at("entry").waitFor();
  });

  test("publishing at a rate raises the counter, draws the chart and stops", async () => {
    const demo = await open();
    await demo.at("rate-number").fill("200");
    await demo.atLeast("total", 300);
    await demo.atLeast("per-second", 50);
    const bars = await demo.at("chart").locator("rect").evaluateAll((rects) => rects.map((rect) => Number(rect.getAttribute("height"))));
    assert.equal(bars.length, 60);
    assert.ok(bars.slice(-10).some((height) => height > 20), `bars ${bars.slice(-10)}`);
    assert.ok(bars.every((height) => height <= 100));
    assert.equal(await demo.at("entry").count(), 50, "the list is bounded");

    await demo.at("rate-stop").click();
    assert.equal(await demo.at("rate").inputValue(), "0");
    await demo.shows("rate-in-flight", "0");
    await demo.shows("total", await demo.at("rate-sent").textContent());
    assert.equal(await demo.at("rate-skipped").textContent(), "0");
  });

  test("a thousand entries a second all arrive, and the page keeps drawing", async () => {
    const demo = await open();
    await demo.at("rate").fill("1000");
    await demo.atLeast("total", 1_000);
    const frames = await demo.page.evaluate(
      () =>
        new Promise((resolve) => {
          const start = performance.now();
          let frames = 0;
          const count = () => (performance.now() - start < 1_000 ? ((frames += 1), requestAnimationFrame(count)) : resolve(frames));
          requestAnimationFrame(count);
        }),
    );
    assert.ok(frames >= 20, `${frames} frames in a second`);
    await demo.at("rate-stop").click();
    await demo.shows("rate-in-flight", "0");
    await demo.shows("total", await demo.at("rate-sent").textContent());
  });

  test("two consumers share the entries, none in both, and acknowledging removes them", async () => {
    const demo = await open();
    await demo.at("group-start").click();
    await demo.at("consumer").nth(1).waitFor();
    assert.equal(await demo.at("consumer").count(), 2);
    const ids = [];
    for (let n = 0; n < 8; n += 1) ids.push(await demo.publish([["n", String(n)]]));
    await demo.shows("group-given", "8");
    await demo.pendingCount(8);

    const [one, two] = await demo.pending();
    assert.ok(one.length > 0 && two.length > 0, `${one.length} and ${two.length}`);
    assert.deepEqual([...one, ...two].sort(), ids.toSorted(), "each entry is in one consumer, and in one only");
    const owners = await demo.at("entry").locator(".entry-owner").allTextContents();
    assert.ok(owners.every((owner) => owner !== ""), `the list names the consumer of each entry: ${owners}`);

    const first = demo.at("consumer").first();
    const acked = first.locator(`[data-id="${one[0]}"]`);
    await acked.getByTestId("ack").click();
    await acked.waitFor({ state: "detached" });
    await demo.shows("group-acked", "1");
    await demo.page.locator(`#entries [data-id="${one[0]}"] [data-acked="true"]`).waitFor();

    await demo.at("ack-all").first().click();
    await demo.at("ack-all").last().click();
    await demo.pendingCount(0);
    assert.equal(await demo.at("group-pending").textContent(), "0");
    assert.equal(await demo.at("group-acked").textContent(), "8");
  });

  test("a paused consumer is given nothing, auto-ack empties, consumers come and go", async () => {
    const demo = await open();
    await demo.at("group-start").click();
    await demo.at("consumer-add").click();
    await demo.at("consumer").nth(2).waitFor();
    await demo.at("consumer-remove").last().click();
    await demo.page.waitForFunction(() => document.querySelectorAll(".consumer").length === 2);

    await demo.at("consumer-pause").first().click();
    assert.equal(await demo.at("consumer-pause").first().textContent(), "Resume");
    // A waiting read is let run to its end: the state says "paused" once no read can bring more.
    await demo.at("consumer-state").first().getByText("paused", { exact: true }).waitFor();
    const ids = [];
    for (let n = 0; n < 4; n += 1) ids.push(await demo.publish([["n", String(n)]]));
    await demo.pendingCount(4);
    assert.deepEqual(await demo.pending(), [[], ids]);

    await demo.at("ack-delay").last().fill("0");
    await demo.at("auto-ack").last().check();
    await demo.pendingCount(0);
    const id = await demo.publish([["n", "more"]]);
    await demo.page.locator(`#entries [data-id="${id}"] [data-acked="true"]`).waitFor();

    await demo.at("consumer-pause").last().click();
    await demo.at("consumer-state").last().getByText("paused", { exact: true }).waitFor();
    await demo.at("consumer-pause").first().click();
    const last = await demo.publish([["n", "last"]]);
    await demo.at("consumer").first().locator(`[data-id="${last}"]`).waitFor();
  });

  test("a second tab sees the first tab's entry, and shares its group", async () => {
    const demo = await open();
    const [page] = await Promise.all([demo.page.context().waitForEvent("page"), demo.at("second-tab").click()]);
    const second = new Demo(page, demo.stream, demo.complaints);
    await second.connected();
    await second.at("live-empty").waitFor();
    const id = await demo.publish([["event", "across tabs"]]);
    await second.entry(id).waitFor();
    assert.deepEqual(await second.list(), [{ id, fields: [["event", "across tabs"]] }]);

    await demo.at("group-start").click();
    await demo.at("consumer").first().waitFor();
    await second.at("group-start").click();
    await second.at("consumer").first().waitFor();
    const ids = [];
    for (let n = 0; n < 12; n += 1) ids.push(await demo.publish([["n", String(n)]]));
    const here = () => demo.at("pending-entry").count();
    const there = () => second.at("pending-entry").count();
    for (const one of ids) {
      await Promise.any([demo, second].map((tab) => tab.page.locator(`.pending [data-id="${one}"]`).waitFor()));
    }
    assert.equal((await here()) + (await there()), ids.length, "no entry in both tabs");
  });

  test("a lost proxy shows as reconnecting; when it is back, the page goes on by itself", async () => {
    const own = await Proxy.start("--www", www);
    try {
      const demo = await open({ proxy: own });
      await demo.publish([["event", "before"]]);
      await demo.at("group-start").click();
      await demo.at("consumer").nth(1).waitFor();

      demo.proxyDown = true;
      await own.kill();
      await demo.state("reconnecting");
      await demo.at("problem").first().waitFor();
      const codes = await demo.at("problem-code").allTextContents();
      assert.ok(codes.length > 0 && codes.every((code) => ["DISCONNECTED", "UNKNOWN_OUTCOME"].includes(code)), `codes ${codes}`);
      await demo.at("publish").click();
      await demo.at("published").getByText("Not connected").waitFor();
      assert.equal(await demo.at("entry").count(), 1, "what was seen stays");

      await own.start();
      await demo.connected();
      demo.proxyDown = false;
      await demo.at("problems-clear").click();
      assert.equal(await demo.at("problem").count(), 0);
      const id = await demo.publish([["event", "after"]]);
      assert.equal((await demo.list())[0].id, id);
      // The memory behind the proxy went with it, and the group: the consumers create it again.
      await demo.page.locator(`.pending [data-id="${id}"]`).waitFor();
      await demo.page.waitForFunction(() => /ms$/.test(document.querySelector("#rtt").textContent));
    } finally {
      await own.stop();
    }
  });

  test("an error of a call shows as code and message, and can be dismissed", async () => {
    const demo = await open();
    await demo.at("group-name").fill("x".repeat(200));
    await demo.page.evaluate(() => document.querySelector("#group").removeAttribute("maxlength"));
    await demo.at("group-name").fill("x".repeat(100_000));
    await demo.at("group-start").click();
    await demo.at("problem").waitFor();
    assert.equal(await demo.at("problem-code").textContent(), "LIMIT");
    assert.notEqual((await demo.page.locator(".problem-message").textContent()).trim(), "");
    await demo.at("problem-dismiss").click();
    await demo.at("problems").waitFor({ state: "hidden" });
    assert.equal(await demo.at("connection-state").textContent(), "Connected");
  });

  test("works by keyboard alone", async () => {
    const demo = await open();
    const { keyboard } = demo.page;
    await demo.tabTo("field-value");
    await keyboard.press("ControlOrMeta+a");
    await keyboard.type("typed");
    await keyboard.press("Enter");
    await demo.at("entry").first().waitFor();
    await demo.tabTo("publish");
    await keyboard.press("Enter");
    await demo.at("entry").nth(1).waitFor();
    assert.equal((await demo.list())[0].fields[0][1], "typed");

    const outline = await demo.page.evaluate(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      return { outlineStyle, width: Number.parseFloat(outlineWidth) };
    });
    assert.deepEqual(outline, { outlineStyle: "solid", width: 2 }, "focus is visible");

    await demo.tabTo("rate");
    await keyboard.press("PageUp");
    await demo.atLeast("total", 4);
    await demo.tabTo("rate-stop");
    await keyboard.press("Space");
    await demo.tabTo("group-start");
    await keyboard.press("Enter");
    await demo.at("consumer").nth(1).waitFor();
    const id = await demo.publish([["n", "1"]], { byKeyboard: true });
    await demo.page.locator(`.pending [data-id="${id}"]`).waitFor();
    await demo.tabTo("ack");
    await keyboard.press("Enter");
    await demo.page.locator(`.pending [data-id="${id}"]`).waitFor({ state: "detached" });
    assert.notEqual(await demo.page.evaluate(() => document.activeElement.tagName), "BODY", "focus is kept");
  });

  for (const [name, width, height] of [["desktop", 1280, 900], ["phone", 360, 740]]) {
    for (const colorScheme of ["light", "dark"]) {
      test(`fits a ${name} of ${width} pixels, in ${colorScheme}`, async () => {
        const demo = await open({ viewport: { width, height }, colorScheme, deviceScaleFactor: 2 });
        await demo.at("group-start").click();
        await demo.at("consumer").nth(1).waitFor();
        await demo.at("rate-number").fill("25");
        await demo.at("auto-ack").first().check();
        await demo.atLeast("total", 60);
        await demo.at("rate-stop").click();
        await demo.publish([["event", "a long value ".repeat(40)]]);

        const { scroll, inner } = await demo.page.evaluate(() => ({ scroll: document.scrollingElement.scrollWidth, inner: innerWidth }));
        assert.ok(scroll <= inner, `the page is ${scroll} wide in a window of ${inner}`);
        const [background, ink] = await demo.page.evaluate(() => {
          const { backgroundColor, color } = getComputedStyle(document.body);
          return [backgroundColor, color].map((value) => value.match(/[\d.]+/g).slice(0, 3).map(Number));
        });
        assert.equal(luminance(background) < 0.1, colorScheme === "dark", `background ${background}`);
        assert.ok(contrast(background, ink) >= 7, `ink ${ink} on ${background}`);
        await demo.page.screenshot({ path: path.join(screenshots, `${name}-${colorScheme}.png`), fullPage: true });
      });
    }
  }

  test("entries arriving shift nothing", async () => {
    const demo = await open();
    await demo.page.evaluate(() => {
      window.shift = [];
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
          const moved = entry.sources.filter(({ node }) => !node?.closest?.("#entries, .pending") && !node?.parentElement?.closest("#entries, .pending"));
          if (moved.length > 0) window.shift.push(...moved.map(({ node }) => node?.textContent));
        }
      }).observe({ type: "layout-shift" });
    });
    await demo.at("rate-number").fill("100");
    await demo.atLeast("total", 150);
    assert.deepEqual(await demo.page.evaluate(() => window.shift), []);
  });
});

/** Opens the page in a context of its own, on a stream of its own, and waits until it is connected. */
async function open({ stream = `demo-${process.pid}-${(streams += 1)}`, proxy: on = proxy, ...context } = {}) {
  const page = await (await browser.newContext(context)).newPage();
  page.context().setDefaultTimeout(WAIT_MS);
  const demo = new Demo(page, stream);
  opened.push(demo);
  await page.goto(`${on.url}/?${new URLSearchParams({ stream })}`);
  await demo.connected();
  return demo;
}

/** The page under test, in the terms of someone who uses it. */
class Demo {
  proxyDown = false;

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
  }

  at(testid) {
    return this.page.getByTestId(testid);
  }

  entry(id) {
    return this.page.locator(`#entries [data-id="${id}"]`);
  }

  state(state) {
    return this.page.locator(`#road[data-state="${state}"]`).waitFor();
  }

  connected() {
    return this.state("open");
  }

  /** Publishes by the form, waits until the entry is listed, and gives its id. */
  async publish(fields, { byKeyboard = false } = {}) {
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
    const id = (await note.jsonValue()).match(/^Added (\d+-\d+)\.$/)[1];
    await this.entry(id).waitFor();
    return id;
  }

  /** The live list, top first. */
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

  /** The ids each consumer holds, consumer by consumer. */
  pending() {
    return this.at("consumer").evaluateAll((consumers) =>
      consumers.map((consumer) => [...consumer.querySelectorAll(".pending li")].map((row) => row.dataset.id)),
    );
  }

  pendingCount(count) {
    return this.page.waitForFunction((count) => document.querySelectorAll(".pending li").length === count, count);
  }

  /** Waits until the number shown in `testid` is at least `least`. */
  atLeast(testid, least) {
    return this.page.waitForFunction(
      ([testid, least]) => Number(document.querySelector(`[data-testid="${testid}"]`).textContent.replaceAll(",", "")) >= least,
      [testid, least],
    );
  }

  /** Waits until `testid` shows just `text`. */
  shows(testid, text) {
    return this.page.waitForFunction(
      ([testid, text]) => document.querySelector(`[data-testid="${testid}"]`).textContent === text,
      [testid, text],
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

/** The proxy, on a port that stays the same when it is started again. */
function chromiumPath() {
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

/** WCAG's relative luminance of an sRGB colour. */
function luminance(rgb) {
  const [r, g, b] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a, b) {
  const [light, dark] = [luminance(a), luminance(b)].toSorted((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}
