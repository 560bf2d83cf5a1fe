// Adds numbers to a stream and tails it, in any runtime.

/**
 * Adds and tails until `isOver` says so.
 *
 * @returns how many numbers were added, and those that the tail received
 */
export async function addAndTail(client, stream, isOver) {
  const received = [];
  const tail = client.tail(stream, { from: "beginning" });
  const tailing = (async () => {
    for await (const entry of tail) {
      if (entry.get("number") === "end") return;
      received.push(Number(entry.get("number")));
    }
  })();
  let added = 0;
  for (; !isOver(); added += 1) {
    await client.add(stream, { number: `${added}` });
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await client.add(stream, { number: "end" });
  await tailing;
  return { added, received };
}

/**
 * Connects with tokens that an address issues, and adds and tails for as long as several of them live.
 *
 * @param query `server`, `issuer`, `stream` and `lives`
 */
export async function liveThroughTokens(connect, query) {
  const [server, issuer, stream, lives] = ["server", "issuer", "stream", "lives"].map((name) => query.get(name));
  let issued = 0;
  const token = async () => {
    issued += 1;
    return (await fetch(issuer)).text();
  };
  const client = await connect(server, { token });
  const states = [];
  client.addEventListener("state", ({ state }) => states.push(state));
  const result = await addAndTail(client, stream, () => issued >= Number(lives));
  const closed = states.includes("closed");
  await client.close();
  return { ...result, issued, closed };
}
