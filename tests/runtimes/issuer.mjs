// Short tokens of a test's issuer, and a server that takes them.

import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";

import { Proxy } from "./proxy.mjs";

/** How long a token lives. */
export const LIFE_MS = 2_000;

const SECRET = "a secret of at least thirty-two bytes";

/** Returns a token for a subject. */
export function mint(subject, lifeMs = LIFE_MS) {
  const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const exp = (Date.now() + lifeMs) / 1000;
  const claims = part({ sub: subject, aud: "streamgate", exp, roles: ["user"] });
  const message = `${part({ alg: "HS256", kid: "test" })}.${claims}`;
  return `${message}.${createHmac("sha256", SECRET).update(message).digest("base64url")}`;
}

/**
 * Serves tokens of `ann` at `/token` until the test ends, with a life of `life_ms` if the query has
 * it, and the files of a folder. A page sends its result to `/result`.
 */
export async function serveIssuer(t, folder) {
  const files = new Set(folder ? readdirSync(folder) : []);
  const { promise: result, resolve } = deferred();
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    const name = pathname.slice(1);
    if (name === "token") return response.end(mint("ann", Number(searchParams.get("life_ms")) || undefined));
    if (name === "result") {
      let body = "";
      for await (const part of request) body += part;
      resolve(JSON.parse(body));
      return response.end();
    }
    if (!files.has(name)) return response.writeHead(404).end();
    const type = name.endsWith(".html") ? "text/html" : "text/javascript";
    response.writeHead(200, { "content-type": type }).end(readFileSync(path.join(folder, name)));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, result };
}

/** Starts a server that takes tokens of one issuer, whose users may read and add in their own streams. */
export async function serveWithTokens({ id = "test", secret = SECRET, streams = "{sub}:*" } = {}, ...extra) {
  const folder = mkdtempSync(path.join(tmpdir(), "streamgate-tokens-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(path.join(folder, "secret"), secret);
  const settings = path.join(folder, "streamgate.toml");
  writeFileSync(
    settings,
    `[auth]
    audience = "streamgate"
    leeway_s = 0
    [[auth.keys]]
    id = "${id}"
    algorithm = "HS256"
    secret_file = "secret"
    [roles.user]
    rights = [{ allow = ["read", "add"], streams = ["${streams}"] }]
    `,
  );
  return Proxy.start("--config", settings, ...extra);
}

export function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}
