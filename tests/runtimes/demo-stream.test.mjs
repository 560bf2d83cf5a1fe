// The demo page's live stream in a real Chromium, on the real proxy, by clicking it: entries, pauses,
// gaps, and publishing. See demo-setup.mjs for what it needs.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { mine, open, www } from "./demo-setup.mjs";
import { Proxy } from "./proxy.mjs";
import { Redis } from "./redis.mjs";

describe("demo page's stream", { timeout: 300_000 }, () => {
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

  test("entries are pushed: the page asks once, and then grants", async () => {
    const demo = await open();
    await demo.at("group-start").click();
    await demo.at("consumer").nth(1).waitFor();
    await demo.at("auto-ack").first().check();
    await demo.at("auto-ack").last().check();
    const id = await demo.publish([["event", "first"]]);
    await demo.at("rate-number").fill("200");
    await demo.atLeast("total", 400);
    await demo.at("rate-stop").click();
    await demo.shows("total", String(1 + Number(await demo.settled("rate-sent"))));
    await demo.shows("group-acked", await demo.at("total").textContent());
    await demo.page.waitForFunction(() => /^median of ([2-9]|\d\d)/.test(document.querySelector("#rtt-basis").textContent));

    const asked = demo.sent.flatMap(({ request, subscribe }) => Object.entries(request?.operation ?? subscribe?.subscription ?? {}));
    const of = (wanted) => asked.filter(([name]) => name === wanted).map(([, what]) => what);
    assert.deepEqual(of("tail").map(({ from }) => from), [{ beginning: {} }]);
    assert.equal(of("consume").length, 2);
    assert.deepEqual([...of("read"), ...of("read_group")], [], "nothing is polled for");
    const latest = of("read_latest").map(({ count }) => count);
    assert.deepEqual(latest.filter((count) => count !== 1), [50], "the list once; the others measure the round trip");
    assert.ok(demo.sent.some(({ grant }) => grant), "what was taken is granted again");

    const late = await open({ stream: demo.stream });
    await late.at("entry").first().waitFor();
    await late.publish([["event", "last"]]);
    const [from] = late.sent.flatMap(({ subscribe }) => subscribe?.subscription.tail?.from ?? []);
    assert.notEqual(from.after.id, id);
    assert.equal(await late.at("total").textContent(), "1");
  });

  test("a paused tail receives nothing; resumed, it goes on where it was", async () => {
    const demo = await open();
    const ids = [await demo.publish([["n", "0"]])];
    await demo.at("pause").click();
    assert.equal(await demo.at("pause").textContent(), "Resume");
    assert.ok((await demo.at("live-note").textContent()).startsWith(`Paused after ${ids[0]}.`));
    for (const n of ["1", "2", "3"]) ids.push(await demo.add([["n", n]]));
    assert.equal(await demo.at("total").textContent(), "1");
    assert.deepEqual(await demo.rows(), [ids[0]]);

    await demo.at("pause").click();
    await demo.shows("total", "4");
    await demo.entry(ids[3]).waitFor();
    assert.deepEqual(await demo.rows(), ids.toReversed(), "all of it, and no gap");
    await demo.publish([["n", "4"]]);
    assert.equal(await demo.at("total").textContent(), "5");
  });

  test("entries trimmed during a pause show as a gap, in its place and in words", async () => {
    const demo = await open();
    const before = [await demo.publish([["n", "0"]]), await demo.publish([["n", "1"]])];
    const ids = await demo.makeGap(5, 2);
    assert.deepEqual(await demo.rows(), [ids[4], ids[3], "gap", before[1], before[0]]);
    const sentence = `Entries after ${before[1]} were trimmed, or may have been. The next entry is ${ids[3]}.`;
    assert.equal(await demo.at("gap").textContent(), `Gap ${sentence}`);
    assert.equal(await demo.at("gap").getAttribute("data-recreated"), "false");
    assert.equal(await demo.at("live-note").textContent(), `1 gap: ${sentence}`);
    assert.equal(await demo.at("live-note").getAttribute("role"), "status", "it is read out");
    assert.equal(await demo.at("total").textContent(), "4", "a gap is not counted as an entry");
    assert.equal(await demo.at("problem").count(), 0, "nor is it an error");

    const next = await demo.publish([["n", "next"]]);
    assert.equal((await demo.rows())[0], next);
    await demo.at("maxlen").fill("");
    await demo.at("rate-number").fill("200");
    await demo.at("gap").waitFor({ state: "detached" });
    assert.equal(await demo.at("live-note").textContent(), `1 gap: ${sentence}`, "the note stays when the row has left");
  });

  test("a gap without an entry after it says so", async () => {
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
    assert.deepEqual(await demo.rows(), [next, "gap", id], "it is told once");
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
    await demo.shows("total", await demo.settled("rate-sent"));
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
    await demo.shows("total", await demo.settled("rate-sent"));
  });

  test("on Redis, the tail goes on after the proxy was away, with all that came meanwhile", async () => {
    const redis = await mine(Redis.start("--stream-node-max-entries", "1"));
    const served = await mine(Proxy.start("--www", www, "--redis", redis.url));
    const other = await mine(Proxy.start("--www", www, "--redis", redis.url));
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
    assert.deepEqual(await demo.rows(), ids.toReversed(), "each once, and no gap");
    assert.equal(await demo.at("total").textContent(), "6");

    // What was trimmed while it was away is a gap.
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
    assert.deepEqual(await elsewhere.rows(), ids.toReversed(), "the other page was there");
  });

  test("on Redis, a key that is no stream ends the tail, which can be tried again", async () => {
    const redis = await mine(Redis.start());
    const served = await mine(Proxy.start("--www", www, "--redis", redis.url));
    const demo = await open({ proxy: served });
    const before = await demo.publish([["n", "0"]]);
    assert.equal(await redis.command(`SET ${demo.stream} text`), "+OK");
    await demo.at("live-empty").getByText("Reading stopped: WRONGTYPE.").waitFor();
    assert.ok(await demo.at("pause").isDisabled());
    // Held and released, the list is drawn again; what it says of the failure stays.
    await demo.at("hold").click();
    await demo.at("hold").click();
    await demo.frames(2);
    assert.ok(await demo.at("live-retry").isVisible());
    assert.equal(await redis.command(`DEL ${demo.stream}`), ":1");
    await demo.at("live-retry").click();
    const id = await demo.publish([["n", "1"]]);
    assert.deepEqual(await demo.rows(), [id, "gap", before]);
    assert.equal(await demo.at("gap").getAttribute("data-recreated"), "true");
    assert.ok(await demo.at("live-empty").isHidden());
    assert.ok(await demo.at("pause").isEnabled());
  });
});
