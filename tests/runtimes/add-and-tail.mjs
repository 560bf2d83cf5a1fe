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
