// What tokens must do in every runtime: one list of cases.

import { addAndTail } from "./add-and-tail.mjs";

/** The life of a token that outlives its case, on any machine. */
export const LONG_MS = 600_000;

/** The life of a token that ends in its case, and that a busy machine can still connect with. */
export const ENDING_MS = 5_000;

/** Each takes `connect`, the URL of the server, a source of tokens of `ann`, and how many live. */
const CASES = {
  async "a string is a token"({ connect, server, issue }) {
    const client = await connect(server, { token: await issue(LONG_MS) });
    const id = await client.add("ann:string", { n: "1" });
    const [newest] = await client.readLatest("ann:string", 1);
    equal([newest.id, newest.get("n")], [id, "1"]);
    await client.close();
  },

  async "a function's tokens are renewed, and nothing is lost"({ connect, server, issue, lives }) {
    let issued = 0;
    const token = () => {
      issued += 1;
      return issue();
    };
    // On a busy machine the first tokens may end before the server reads them.
    const client = await connect(server, { token, retry: true });
    const states = statesOf(client);
    const { added, received } = await addAndTail(client, "ann:numbers", () => issued >= lives);
    equal(received, Array.from({ length: added }, (_, number) => number));
    // On a busy machine a token may end before its renewal: then the client reconnects.
    equal(states.filter((state) => state.startsWith("closed")), []);
    await client.close();
  },

  async "a refused string is NOAUTH"({ connect, server }) {
    equal(await codeOf(connect(server, { token: "no token" })), "NOAUTH");
  },

  async "a refused function is asked once more, then it is NOAUTH"({ connect, server }) {
    const asked = [];
    const token = ({ force }) => {
      asked.push(force);
      return `no token ${asked.length}`;
    };
    equal(await codeOf(connect(server, { token })), "NOAUTH");
    equal(asked, [false, true]);
  },

  async "a function that says that nobody is signed in is NOAUTH"({ connect, server }) {
    const token = async () => {
      throw Object.assign(new Error("signed out"), { code: "NOAUTH" });
    };
    equal(await codeOf(connect(server, { token })), "NOAUTH");
  },

  async "a function that returns no string is NOAUTH, and says so"({ connect, server }) {
    const calls = [];
    const token = async ({ force }) => void calls.push(force);
    const error = await connect(server, { token }).catch((error) => error);
    equal([error.code, calls], ["NOAUTH", [false]]);
    equal(error.message.includes("a token must be a string, not undefined"), true);
  },

  async "a client whose only token ends is closed with 4401"({ connect, server, issue }) {
    const client = await connect(server, { token: await issue(ENDING_MS) });
    const states = statesOf(client);
    equal(await codeOf(client.read("ann:ended", "$", { blockMs: 0 })), "NOAUTH");
    equal([states.at(-1), client.state], ["closed 4401", "closed"]);
  },

  async "a request beyond the rights of the token is NOPERM"({ connect, server, issue }) {
    const client = await connect(server, { token: await issue(LONG_MS) });
    equal(await codeOf(client.add("bob:orders", { n: "1" })), "NOPERM");
    await client.close();
  },
};

/**
 * Runs all cases at once: they wait for tokens to end, most of the time.
 *
 * @param query `server`, `issuer` and `lives`
 * @param options of every client
 * @returns for each case, by its name, the error or `null`
 */
export async function runTokenCases(connect, query, options) {
  const context = {
    connect: (url, given) => connect(url, { ...options, ...given }),
    server: query.get("server"),
    issue: async (lifeMs) => (await fetch(`${query.get("issuer")}?life_ms=${lifeMs ?? ""}`)).text(),
    lives: Number(query.get("lives")),
  };
  const outcomes = Object.entries(CASES).map(async ([name, run]) => [name, await run(context).then(() => null, textOf)]);
  return Object.fromEntries(await Promise.all(outcomes));
}

function textOf(error) {
  return `${error}\n${error.stack}`;
}

/** Collects the states that a client enters, with their codes. */
function statesOf(client) {
  const states = [];
  client.addEventListener("state", ({ state, code }) => states.push(`${state} ${code ?? ""}`.trim()));
  return states;
}

async function codeOf(promise) {
  return promise.then(
    () => "no error",
    (error) => error.code ?? textOf(error),
  );
}

function equal(value, expected) {
  const [text, other] = [value, expected].map((part) => JSON.stringify(part));
  if (text !== other) throw new Error(`${text} instead of ${other}`);
}
