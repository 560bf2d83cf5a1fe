// A page in a real Firefox, without a window.
//
// STREAMGATE_FIREFOX   the browser   (default: the first one on PATH)

import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/** No dialogs, and no background traffic. */
const SETTINGS = {
  "app.normandy.enabled": false,
  "app.update.auto": false,
  "browser.aboutwelcome.enabled": false,
  "browser.safebrowsing.downloads.enabled": false,
  "browser.safebrowsing.malware.enabled": false,
  "browser.safebrowsing.phishing.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "datareporting.policy.dataSubmissionPolicyBypassNotification": true,
  "extensions.getAddons.cache.enabled": false,
  "extensions.update.enabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "services.settings.server": "data:,",
  "startup.homepage_welcome_url": "",
  "toolkit.telemetry.enabled": false,
};

/** Opens an address until the test ends. */
export function openFirefox(t, address) {
  const profile = mkdtempSync(path.join(tmpdir(), "streamgate-firefox-"));
  const lines = Object.entries(SETTINGS).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});`);
  writeFileSync(path.join(profile, "user.js"), lines.join("\n"));
  const firefox = spawn(firefoxPath(), ["--headless", "--no-remote", "--profile", profile, address], {
    stdio: "ignore",
    // A group of its own, so that its processes end with it.
    detached: true,
  });
  const ended = once(firefox, "exit");
  t.after(async () => {
    process.kill(-firefox.pid, "SIGKILL");
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  });
  return ended.then(() => {
    throw new Error("Firefox ended before its page");
  });
}

function firefoxPath() {
  const folders = (process.env.PATH ?? "").split(path.delimiter);
  const onPath = ["firefox", "firefox-esr"].flatMap((name) => folders.map((folder) => path.join(folder, name)));
  const found = [process.env.STREAMGATE_FIREFOX, ...onPath].find((file) => file && isExecutable(file));
  if (!found) throw new Error("no Firefox; `cargo xtask setup` installs it, or set STREAMGATE_FIREFOX to one");
  return found;
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
