// The demo page in a real Chromium on the real proxy: groups, failures and layout.
// demo-stream.test.mjs tests its live stream; demo-setup.mjs lists the environment variables of
// both.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { before, describe, test } from "node:test";

import { Demo, contrast, luminance } from "./demo-page.mjs";
import { SUITE_HANG_MS, open, stoppedAfterTest, www } from "./demo-setup.mjs";
import { Proxy, workspace } from "./proxy.mjs";
import { Redis } from "./redis.mjs";

const screenshots = path.join(workspace, "target/screenshots");

before(() => mkdirSync(screenshots, { recursive: true }));

describe("demo page", { timeout: SUITE_HANG_MS }, () => {
  test("connects and measures the round trip", async () => {
    const demo = await open();
    await demo.page.waitForFunction(() => /^\d+\.\d ms$/.test(document.querySelector("#rtt").textContent));
    const trip = Number.parseFloat(await demo.at("rtt").textContent());
    assert.ok(trip >= 0, `a round trip of ${trip} ms`);
    assert.equal(await demo.at("connection-state").textContent(), "Connected");
  });

  test("two consumers share the entries, and acknowledging removes them", async () => {
    const demo = await open();
    await demo.at("group-start").click();
    await demo.at("consumer").nth(1).waitFor();
    assert.equal(await demo.at("consumer").count(), 2);
    const ids = [];
    for (let n = 0; n < 8; n += 1) ids.push(await demo.publish([["n", String(n)]]));
    await demo.shows("group-delivered", 8);
    await demo.pendingCount(8);

    const [one, two] = await demo.pending();
    assert.ok(one.length > 0 && two.length > 0, `${one.length} and ${two.length}`);
    assert.deepEqual([...one, ...two].sort(), ids.toSorted(), "each entry is pending for exactly one consumer");
    const owners = await demo.at("entry").locator(".entry-owner").allTextContents();
    assert.ok(owners.every((owner) => owner !== ""), `the list names the consumer of each entry: ${owners}`);

    const first = demo.at("consumer").first();
    const acked = first.locator(`[data-id="${one[0]}"]`);
    await acked.getByTestId("ack").click();
    await acked.waitFor({ state: "detached" });
    await demo.shows("group-acked", 1);
    await demo.page.locator(`#entries [data-id="${one[0]}"] [data-acked="true"]`).waitFor();

    await demo.at("ack-all").first().click();
    await demo.at("ack-all").last().click();
    await demo.pendingCount(0);
    assert.equal(await demo.count("group-pending"), 0);
    assert.equal(await demo.count("group-acked"), 8);
  });

  test("a paused consumer receives nothing, auto-ack works, and consumers can be added and removed", async () => {
    const demo = await open();
    await demo.at("group-start").click();
    await demo.at("consumer-add").click();
    await demo.at("consumer").nth(2).waitFor();
    await demo.at("consumer-remove").last().click();
    await demo.page.waitForFunction(() => document.querySelectorAll(".consumer").length === 2);

    await demo.at("consumer-pause").first().click();
    assert.equal(await demo.at("consumer-pause").first().textContent(), "Resume");
    // Entries that have arrived are delivered first. Once the state is "paused", no more can
    // follow.
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

  test("a full consumer receives nothing, and continues after it was emptied", async () => {
    const demo = await open();
    await demo.at("group-start").click();
    await demo.at("consumer").nth(1).waitFor();
    await demo.at("rate-number").fill("400");
    for (const state of await demo.at("consumer-state").all()) await state.getByText("full at 100").waitFor();
    await demo.at("rate-stop").click();
    const sent = await demo.settled("rate-sent");
    const held = (await demo.pending()).map(({ length }) => length);
    assert.ok(held.every((count) => count >= 100 && count < 125), `${held} pending`);
    await demo.at("ack-delay").first().fill("0");
    await demo.at("auto-ack").first().check();
    await demo.at("ack-all").last().click();
    await demo.at("auto-ack").last().check();
    await demo.shows("group-acked", sent);
    assert.equal(await demo.count("group-delivered"), sent, "each entry was delivered once");
  });

  test("a second tab receives the entries of the first and shares its group", async () => {
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
    const inFirst = () => demo.at("pending-entry").count();
    const inSecond = () => second.at("pending-entry").count();
    for (const one of ids) {
      await Promise.any([demo, second].map((tab) => tab.page.locator(`.pending [data-id="${one}"]`).waitFor()));
    }
    assert.equal((await inFirst()) + (await inSecond()), ids.length, "no entry is in both tabs");
  });

  test("while the proxy is down the page shows reconnecting, and continues once the proxy is back", async () => {
    const own = await stoppedAfterTest(Proxy.start("--www", www));
    const demo = await open({ proxy: own });
    const before = await demo.publish([["event", "before"]]);
    await demo.at("group-start").click();
    await demo.at("consumer").nth(1).waitFor();

    demo.proxyDown = true;
    await own.kill();
    await demo.state("reconnecting");
    await demo.at("publish").click();
    await demo.at("published").getByText("Not connected").waitFor();
    assert.equal(await demo.at("entry").count(), 1, "the list stays");

    await own.start();
    await demo.connected();
    demo.proxyDown = false;
    const id = await demo.publish([["event", "after"]]);
    // The streams of the proxy were in memory, so this is a new stream, and the list says so.
    await demo.at("gap").waitFor();
    assert.deepEqual(await demo.rows(), [id, "gap", before]);
    assert.equal(await demo.at("gap").getAttribute("data-reason"), "recreated");
    // The group is lost as well: the consumers create it again.
    await demo.page.locator(`.pending [data-id="${id}"]`).waitFor();
    await demo.page.waitForFunction(() => /ms$/.test(document.querySelector("#rtt").textContent));
  });

  test("while Redis is down the page shows it as unavailable, and continues once Redis is back", async () => {
    const redis = await stoppedAfterTest(Redis.start());
    const served = await stoppedAfterTest(Proxy.start("--www", www, "--redis", redis.url));
    const demo = await open({ proxy: served });
    await demo.at("live-empty").waitFor();
    await redis.kill();
    await demo.state("degraded");
    assert.equal(await demo.at("connection-state").textContent(), "Redis unavailable");
    assert.match(await demo.at("connection").textContent(), /DISCONNECTED: /);
    await demo.at("publish").click();
    await demo.at("published").getByText("Redis is unavailable").waitFor();
    await redis.start();
    await demo.connected();
    const id = await demo.publish([["event", "after"]]);
    assert.deepEqual(await demo.rows(), [id]);
    await demo.page.waitForFunction(() => /ms$/.test(document.querySelector("#rtt").textContent));
  });

  test("on Redis, a group continues with a recreated stream, whose ids may repeat", async () => {
    const redis = await stoppedAfterTest(Redis.start());
    const served = await stoppedAfterTest(Proxy.start("--www", www, "--redis", redis.url));
    const demo = await open({ proxy: served });
    await demo.at("group-start").click();
    await demo.at("consumer").nth(1).waitFor();
    for (const id of ["5-1", "9-0"]) {
      await redis.command(`XADD ${demo.stream} ${id} n before`);
      await demo.page.locator(`.pending [data-id="${id}"]`).waitFor();
    }
    for (const pause of await demo.at("consumer-pause").all()) await pause.click();
    for (const state of await demo.at("consumer-state").all()) await state.getByText("paused", { exact: true }).waitFor();
    await demo.at("ack-all").first().click();
    await demo.at("ack-all").last().click();
    await demo.pendingCount(0);
    assert.equal(await redis.command(`DEL ${demo.stream}`), ":1");
    // Once the same ids are there again, the stream would look like the old one, rolled back.
    await demo.at("gap").waitFor();
    await redis.command(`XADD ${demo.stream} 5-1 n anew`);
    await demo.entry("5-1").nth(1).waitFor();
    assert.deepEqual(await demo.rows(), ["5-1", "gap", "9-0", "5-1"]);
    assert.equal(await demo.entry("5-1").first().locator(".entry-owner").textContent(), "", "the new entry is not delivered yet");

    await demo.at("consumer-pause").first().click();
    await demo.at("consumer").first().locator('[data-id="5-1"]').waitFor();
  });

  test("an error of a call is shown with code and message, and can be dismissed", async () => {
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

  test("the page can be used by keyboard alone", async () => {
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
    await demo.tabTo("pause");
    await keyboard.press("Enter");
    assert.equal(await demo.at("pause").textContent(), "Resume");
    await keyboard.press("Enter");
    assert.equal(await demo.at("pause").textContent(), "Pause");
    // The group starts after the last entry of the list.
    await demo.shows("total", 2 + (await demo.settled("rate-sent")));
    await demo.tabTo("group-start");
    await keyboard.press("Enter");
    await demo.at("consumer").nth(1).waitFor();
    const id = await demo.publish([["n", "1"]], { byKeyboard: true });
    await demo.page.locator(`.pending [data-id="${id}"]`).waitFor();
    await demo.tabTo("ack");
    await keyboard.press("Enter");
    await demo.page.locator(`.pending [data-id="${id}"]`).waitFor({ state: "detached" });
    assert.notEqual(await demo.page.evaluate(() => document.activeElement.tagName), "BODY", "the focus is not lost");
  });

  for (const [name, width, height] of [["desktop", 1280, 900], ["phone", 360, 740]]) {
    for (const colorScheme of ["light", "dark"]) {
      test(`the page fits a ${name} of ${width} pixels in ${colorScheme} mode`, async () => {
        const demo = await open({ viewport: { width, height }, colorScheme, deviceScaleFactor: 2 });
        await demo.at("group-start").click();
        await demo.at("consumer").nth(1).waitFor();
        await demo.at("rate-number").fill("25");
        await demo.at("auto-ack").first().check();
        await demo.atLeast("total", 60);
        await demo.at("rate-stop").click();
        await demo.makeGap(4, 3);
        await demo.publish([["event", "a long value ".repeat(40)]]);

        const { scroll, inner } = await demo.page.evaluate(() => ({ scroll: document.scrollingElement.scrollWidth, inner: innerWidth }));
        assert.ok(scroll <= inner, `the page is ${scroll} wide in a window of ${inner}`);
        const [background, ink] = await demo.page.evaluate(() => {
          const { backgroundColor, color } = getComputedStyle(document.body);
          return [backgroundColor, color].map((value) => value.match(/[\d.]+/g).slice(0, 3).map(Number));
        });
        assert.equal(luminance(background) < 0.1, colorScheme === "dark", `background ${background}`);
        assert.ok(contrast(background, ink) >= 7, `ink ${ink} on ${background}`);
        const gap = await demo.at("gap").evaluate((row) => {
          const { backgroundColor, color } = getComputedStyle(row);
          const label = getComputedStyle(row.querySelector("strong")).color;
          return [backgroundColor, color, label].map((value) => value.match(/[\d.]+/g).slice(0, 3).map(Number));
        });
        for (const text of gap.slice(1)) assert.ok(contrast(gap[0], text) >= 4.5, `${text} on ${gap[0]} in a gap`);
        await demo.page.screenshot({ path: path.join(screenshots, `${name}-${colorScheme}.png`), fullPage: true });
      });
    }
  }

  test("arriving entries shift nothing outside of the lists", async () => {
    const demo = await open();
    await demo.at("live-empty").getByText("Nothing here yet").waitFor();
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
