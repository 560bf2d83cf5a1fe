// Uses the type declarations of the package as applications do. Compiled, never run.

import {
  Client,
  connect,
  type ConnectionState,
  type Deliveries,
  type Delivery,
  type DeliveryBatch,
  type Entry,
  type Gap,
  GapError,
  type GapReason,
  open,
  type ReadResult,
  type Retry,
  type Skipped,
  StateEvent,
  StreamgateError,
  type Tail,
  type TailBatch,
  type TokenRequest,
} from "streamgate";

/** Fails to compile unless the types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<_ extends true>() {}

export async function tokens() {
  await connect("wss://example.com/v1/ws", { token: "fixed" });
  const token = async (request: TokenRequest) => {
    same<Same<typeof request.force, boolean>>();
    return "renewed";
  };
  await connect("wss://example.com/v1/ws", { token });
  await connect("wss://example.com/v1/ws", { token: () => "at once" });
}

export async function calls(signal: AbortSignal) {
  await using client = await connect("wss://example.com/v1/ws", { signal, connectTimeoutMs: 1000, exactlyOnce: false });
  same<Same<typeof client, Client>>();

  const id = await client.add("orders", { item: "tea" });
  same<Same<typeof id, string>>();
  await client.add("orders", [["item", "tea"], ["item", "milk"]], { maxlen: 100, signal });
  await client.add("orders", new Map([["item", "tea"]]));
  await client.add("orders", new URLSearchParams("item=tea&item=milk"));
  await client.add(new Uint8Array([0xff]), { item: new Uint8Array([0xfe]) });
  await client.add("orders", [[new Uint8Array([0xff]), "tea"]]);

  const latest = await client.readLatest("orders", 10, { signal });
  same<Same<typeof latest, Entry[]>>();
  const read = await client.read("orders", "$", { count: 10, blockMs: 0, signal });
  same<Same<typeof read, ReadResult>>();
  same<Same<typeof read.lastId, string>>();
  for (const entry of read) {
    same<Same<typeof entry, Entry>>();
    const value = entry.get("item");
    same<Same<typeof value, string | undefined>>();
    const bytes = entry.getBytes("item");
    same<Same<typeof bytes, Uint8Array | undefined>>();
    for (const [name, each] of entry.toBytes()) console.log(name.length + each.length);
    for (const [name, each] of entry.fields) console.log(name.length + each.length, entry.toObject());
  }

  await client.createGroup("orders", "kitchen", "0", { signal });
  const received = await client.readGroup("orders", "kitchen", "one", { count: 1, blockMs: 700 });
  same<Same<typeof received, Entry[]>>();
  await client.ack("orders", "kitchen", "1-0");
  await client.ack("orders", "kitchen", received.map((entry) => entry.id), { signal });
  const acknowledged = await client.ack("orders", "kitchen", new Set(["1-0"]));
  same<Same<typeof acknowledged, number>>();
  for (const { name, pending, idleMs } of await client.consumers("orders", "kitchen", { signal })) {
    console.log(name.length + pending + idleMs);
  }

  const { count, smallest, greatest, consumers } = await client.pending("orders", "kitchen", { signal });
  same<Same<typeof smallest, string | undefined>>();
  for (const { name, nameBytes, pending } of consumers) {
    console.log(name.length + pending + count, greatest);
    await client.removeConsumer("orders", "kitchen", nameBytes ?? name, "two");
  }
  const options = { start: "(1-0", end: "+", count: 10, consumer: "one", minIdleMs: 60_000, signal };
  for (const { id, consumer, idleMs, deliveries } of await client.pendingEntries("orders", "kitchen", options)) {
    console.log(id.length + consumer.length + idleMs + deliveries);
  }
  const claimed = await client.claim("orders", "kitchen", "two", 60_000, { start: "0-0", count: 10, signal });
  same<Same<typeof claimed.entries, Entry[]>>();
  console.log(claimed.cursor.length + claimed.deleted.length);
  const handedOver = await client.removeConsumer("orders", "kitchen", "one", "two", { signal });
  same<Same<typeof handedOver, number>>();
  await client.close();
}

export async function subscriptions(client: Client, signal: AbortSignal) {
  const onGap = (gap: Gap) => {
    same<Same<typeof gap.first, string | undefined>>();
    same<Same<typeof gap.reason, GapReason>>();
    console.log(gap.after, gap.position);
  };
  const onSkipped = ({ id, bytes, reason }: Skipped) => console.log(id.length + bytes, reason.length);
  await using tail = client.tail("orders", { from: { last: 10 }, signal, onGap, onSkipped });
  same<Same<typeof tail, Tail>>();
  for await (const entry of tail) {
    same<Same<typeof entry, Entry>>();
    break;
  }
  same<Same<typeof tail.position, string | undefined>>();
  for (const from of ["now", "beginning", "5-1", undefined] as const) client.tail("orders", { from });
  for await (const batch of client.tail("orders").batches()) {
    same<Same<typeof batch, TailBatch>>();
    if (batch.gap) onGap(batch.gap);
    if (batch.skipped) onSkipped(batch.skipped);
    console.log(batch.entries.length, batch.position.length);
  }

  await using deliveries = client.consume("orders", "kitchen", "one", {
    batch: 8,
    claimAfterMs: 60_000,
    maxDeliveries: 5,
    deadLetter: "orders:dead",
    createFrom: "$",
    onSkipped,
    signal,
  });
  same<Same<typeof deliveries, Deliveries>>();
  for await (const entry of deliveries) {
    same<Same<typeof entry, Delivery>>();
    console.log(entry.get("item"));
    await entry.ack({ signal });
    await client.ack("orders", "kitchen", entry);
    await client.ack("orders", "kitchen", [entry, "5-1"]);
  }
  for await (const batch of client.consume("orders", "kitchen", "one").batches()) {
    same<Same<typeof batch, DeliveryBatch>>();
    same<Same<typeof batch.entries, Delivery[]>>();
    await batch.ack();
  }
}

export async function lifetimes() {
  const client = open(new URL("wss://example.com/v1/ws"), { token: () => "token", exactlyOnce: false });
  same<Same<typeof client, Client>>();
  same<Same<ReturnType<typeof client.close>, Promise<void>>>();
  await client.close({ timeoutMs: 100 });
  same<Same<ReturnType<typeof client.abort>, void>>();
  await connect("/v1/ws", { retry: true });
  // @ts-expect-error: a client that is opened always goes on
  open("/v1/ws", { retry: false });
}

export function events(client: Client) {
  same<Same<typeof client.state, ConnectionState>>();
  client.addEventListener("state", (event) => {
    same<Same<typeof event, StateEvent>>();
    same<Same<typeof event.code, number | string | undefined>>();
  }, { once: true });
  client.addEventListener("other", { handleEvent: (event) => console.log(event.type) });
}

export function failures(error: unknown) {
  if (error instanceof StreamgateError) {
    same<Same<typeof error.code, string>>();
    same<Same<typeof error.retry, Retry>>();
    same<Same<typeof error.retryAfterMs, number | undefined>>();
  }
  if (error instanceof GapError) {
    same<Same<typeof error.code, "GAP">>();
    same<Same<typeof error.gap, Gap>>();
  }
}

export function mistakes(client: Client) {
  // @ts-expect-error: clients come from `connect`
  new Client();
  // @ts-expect-error: a number is no value
  void client.add("orders", { cups: 2 });
  // @ts-expect-error: triples are no fields
  void client.add("orders", [["item", "tea", "milk"]]);
  // @ts-expect-error: the count is not optional
  void client.readLatest("orders");
  // @ts-expect-error: it is called blockMs
  void client.read("orders", "0", { block: 10 });
  // @ts-expect-error: an object without an id
  void client.ack("orders", "kitchen", {});
  // @ts-expect-error: not a number
  client.tail("orders", { from: 5 });
  // @ts-expect-error: how many is not optional
  client.tail("orders", { from: {} });
  // @ts-expect-error: a consumer has a name
  client.consume("orders", "kitchen");
  // @ts-expect-error: it cannot be set
  client.state = "open";
  // @ts-expect-error: a constructor is wanted
  void connect("/v1/ws", { WebSocket: "ws" });
}
