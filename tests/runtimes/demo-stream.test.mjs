// The live stream of the demo page, in a real Chromium on the real proxy: entries, pauses, gaps and
// publishing. demo-setup.mjs lists the environment variables.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { SUITE_HANG_MS, open, stoppedAfterTest, www } from "./demo-setup.mjs";
import { Proxy } from "./proxy.mjs";
import { Redis } from "./redis.mjs";

describe("live stream of the demo page", { timeout: SUITE_HANG_MS }, () => {
  test("a published entry appears on top, with its fields in order and repeated names", async () => {
    const demo = await open();
    const first = await demo.publish([["event", "first"]]);
    const fields = [["b", "2"], ["a", "1"], ["b", "two 🙂"], ["", "nameless"]];
    const id = await demo.publish(fields);
    assert.deepEqual(await demo.list(), [
      { id, fields },
      { id: first, fields: [["event", "first"]] },
    ]);
    assert.equal(await demo.count("total"), 2);
  });

  test("entries from before the page was opened are listed, but not counted as received", async () => {
    const demo = await open();
    const id = await demo.publish([["event", "early"]]);
    const late = await open({ stream: demo.stream });
    await late.entry(id).waitFor();
    assert.deepEqual(await late.list(), [{ id, fields: [["event", "early"]] }]);
    assert.equal(await late.count("total"), 0);
  });

  test("a held list does not change while entries are counted, and catches up afterwards", async () => {
    const demo = await open();
    const first = await demo.publish([["n", "1"]]);
    await demo.at("hold").click();
    await demo.at("publish").click();
    await demo.shows("total", 2);
    assert.deepEqual((await demo.list()).map(({ id }) => id), [first]);
    assert.equal(await demo.at("hold").getAttribute("aria-pressed"), "true");
    await demo.at("hold").click();
    await demo.at("entry").nth(1).waitFor();
  });

  test("the stream is chosen on the page and kept in its address", async () => {
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

  test("entries are pushed: the page subscribes once, and then grants credit", async () => {
    const demo = await open();
    await demo.at("group-start").click();
    await demo.at("consumer").nth(1).waitFor();
    await demo.at("auto-ack").first().check();
    await demo.at("auto-ack").last().check();
    const id = await demo.publish([["event", "first"]]);
    await demo.at("rate-number").fill("400");
    await demo.atLeast("total", 1_000);
    await demo.at("rate-stop").click();
    await demo.shows("total", 1 + (await demo.settled("rate-sent")));
    await demo.shows("group-acked", await demo.count("total"));
    await demo.page.waitForFunction(() => /^median of ([2-9]|\d\d)/.test(document.querySelector("#rtt-basis").textContent));

    const operations = demo.sent.flatMap(({ request, subscribe }) => Object.entries(request?.operation ?? subscribe?.subscription ?? {}));
    const of = (wanted) => operations.filter(([name]) => name === wanted).map(([, operation]) => operation);
    assert.deepEqual(of("tail").map(({ from }) => from), [{ beginning: {} }]);
    assert.equal(of("consume").length, 2);
    assert.deepEqual([...of("read"), ...of("read_group")], [], "the page does not poll");
    const latest = of("read_latest").map(({ count }) => count);
    assert.deepEqual(latest.filter((count) => count !== 1), [50], "one fills the list; the others measure the round trip");
    assert.ok(demo.sent.some(({ grant }) => grant), "credit for consumed entries is granted again");

    const late = await open({ stream: demo.stream });
    await late.at("entry").first().waitFor();
    await late.publish([["event", "last"]]);
    const [from] = late.sent.flatMap(({ subscribe }) => subscribe?.subscription.tail?.from ?? []);
    assert.notEqual(from.after.id, id);
    assert.equal(await late.count("total"), 1);
  });

  test("a paused tail receives nothing, and continues at its position when it is resumed", async () => {
    const demo = await open();
    const ids = [await demo.publish([["n", "0"]])];
    await demo.at("pause").click();
    assert.equal(await demo.at("pause").textContent(), "Resume");
    assert.ok((await demo.at("live-note").textContent()).startsWith(`Paused after ${ids[0]}.`));
    for (const n of ["1", "2", "3"]) ids.push(await demo.add([["n", n]]));
    assert.equal(await demo.count("total"), 1);
    assert.deepEqual(await demo.rows(), [ids[0]]);

    await demo.at("pause").click();
    await demo.shows("total", 4);
    await demo.entry(ids[3]).waitFor();
    assert.deepEqual(await demo.rows(), ids.toReversed(), "all entries, and no gap");
    await demo.publish([["n", "4"]]);
    assert.equal(await demo.count("total"), 5);
  });

  test("entries trimmed during a pause are shown as a gap, in the list and as a sentence", async () => {
    const demo = await open();
    const before = [await demo.publish([["n", "0"]]), await demo.publish([["n", "1"]])];
    const ids = await demo.makeGap(5, 2);
    assert.deepEqual(await demo.rows(), [ids[4], ids[3], "gap", before[1], before[0]]);
    const sentence = `Entries after ${before[1]} were trimmed, or may have been. The next entry is ${ids[3]}.`;
    assert.equal(await demo.at("gap").textContent(), `Gap ${sentence}`);
    assert.equal(await demo.at("gap").getAttribute("data-reason"), "trimmed");
    assert.equal(await demo.at("live-note").textContent(), `1 gap: ${sentence}`);
    assert.equal(await demo.at("live-note").getAttribute("role"), "status", "screen readers announce it");
    assert.equal(await demo.count("total"), 4, "a gap is not counted as an entry");
    assert.equal(await demo.at("problem").count(), 0, "a gap is not an error");

    const next = await demo.publish([["n", "next"]]);
    assert.equal((await demo.rows())[0], next);
    await demo.at("maxlen").fill("");
    await demo.at("rate-number").fill("200");
    await demo.at("gap").waitFor({ state: "detached" });
    assert.equal(await demo.at("live-note").textContent(), `1 gap: ${sentence}`, "the note stays after the row has left the list");
  });

  test("a gap at the end says that no entry follows yet", async () => {
    const demo = await open();
    const id = await demo.publish([["n", "0"]]);
    await demo.at("pause").click();
    await demo.at("maxlen").fill("0");
    await demo.add([["n", "1"]]);
    await demo.at("pause").click();
    await demo.at("gap").waitFor();
    assert.deepEqual(await demo.rows(), ["gap", id]);
    assert.ok((await demo.at("gap").textContent()).endsWith("There is no entry after them yet."));
    await demo.at("maxlen").fill("10");
    const next = await demo.publish([["n", "2"]]);
    assert.deepEqual(await demo.rows(), [next, "gap", id], "the gap is reported once");
  });

  test("publishing at a rate increases the counter, draws the chart and can be stopped", async () => {
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
    await demo.shows("total", await demo.settled("rate-sent"));
  });

  test("all of a thousand entries per second arrive, and the page keeps drawing", async () => {
    const demo = await open();
    await demo.at("rate").fill("1000");
    await demo.atLeast("total", 1_000);
    const before = await demo.count("total");
    await demo.frames(20);
    const entries = (await demo.count("total")) - before;
    assert.ok(entries < 5_000, `only 20 frames were drawn while ${entries} entries arrived`);
    await demo.at("rate-stop").click();
    await demo.shows("total", await demo.settled("rate-sent"));
    assert.match(await demo.at("total").textContent(), /^\d{1,3}(,\d{3})+$/);
  });

  test("on Redis, the tail continues after a restart of the proxy, without losing entries", async () => {
    const redis = await stoppedAfterTest(Redis.start("--stream-node-max-entries", "1"));
    const served = await stoppedAfterTest(Proxy.start("--www", www, "--redis", redis.url));
    const other = await stoppedAfterTest(Proxy.start("--www", www, "--redis", redis.url));
    const demo = await open({ proxy: served });
    const elsewhere = await open({ proxy: other, stream: demo.stream });
    const ids = [await demo.publish([["n", "0"]])];
    demo.proxyDown = true;
    await served.kill();
    await demo.state("reconnecting");
    for (const n of ["1", "2", "3"]) ids.push(await elsewhere.publish([["n", n]]));
    await served.start();
    await demo.connected();
    demo.proxyDown = false;
    await demo.entry(ids[3]).waitFor();
    ids.push(await demo.publish([["n", "4"]]), await elsewhere.publish([["n", "5"]]));
    await demo.entry(ids[5]).waitFor();
    assert.deepEqual(await demo.rows(), ids.toReversed(), "each entry once, and no gap");
    assert.equal(await demo.count("total"), 6);

    // Entries that were trimmed while the proxy was down are a gap.
    demo.proxyDown = true;
    await served.kill();
    await demo.state("reconnecting");
    await elsewhere.at("maxlen").fill("1");
    for (const n of ["6", "7"]) ids.push(await elsewhere.publish([["n", n]]));
    await served.start();
    await demo.connected();
    demo.proxyDown = false;
    await demo.entry(ids[7]).waitFor();
    assert.deepEqual(await demo.rows(), [ids[7], "gap", ...ids.slice(0, 6).toReversed()]);
    assert.deepEqual(await elsewhere.rows(), ids.toReversed(), "the other page was connected all the time");
  });

  test("on Redis, a key of another type ends the tail, which can be retried", async () => {
    const redis = await stoppedAfterTest(Redis.start());
    const served = await stoppedAfterTest(Proxy.start("--www", www, "--redis", redis.url));
    const demo = await open({ proxy: served });
    const before = await demo.publish([["n", "0"]]);
    assert.equal(await redis.command(`SET ${demo.stream} text`), "+OK");
    await demo.at("live-empty").getByText("Reading stopped: WRONGTYPE.").waitFor();
    assert.ok(await demo.at("pause").isDisabled());
    // Holding and releasing draws the list again. The failure must stay visible.
    await demo.at("hold").click();
    await demo.at("hold").click();
    await demo.frames(2);
    assert.ok(await demo.at("live-retry").isVisible());
    assert.equal(await redis.command(`DEL ${demo.stream}`), ":1");
    await demo.at("live-retry").click();
    const id = await demo.publish([["n", "1"]]);
    assert.deepEqual(await demo.rows(), [id, "gap", before]);
    assert.equal(await demo.at("gap").getAttribute("data-reason"), "recreated");
    assert.ok(await demo.at("live-empty").isHidden());
    assert.ok(await demo.at("pause").isEnabled());
  });
});
