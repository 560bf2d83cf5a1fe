// Short tokens of a test's issuer, and a server that takes them.

import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { Proxy } from "./proxy.mjs";

/** How long a token lives. */
export const LIFE_MS = 2_000;

const SECRET = "a secret of at least thirty-two bytes";

/** Returns a token for a subject. */
export function mint(subject) {
  const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const exp = (Date.now() + LIFE_MS) / 1000;
  const claims = part({ sub: subject, aud: "streamgate", exp, roles: ["user"] });
  const message = `${part({ alg: "HS256", kid: "test" })}.${claims}`;
  return `${message}.${createHmac("sha256", SECRET).update(message).digest("base64url")}`;
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
