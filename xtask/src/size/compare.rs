//! The sizes of comparable packages, measured as ours is.

use std::fs;
use std::path::Path;

use crate::command::{self, announce, command};

/// A package, and the script that uses it as a page would.
struct Package {
    name: &'static str,
    version: &'static str,
    script: &'static str,
}

const PACKAGES: [Package; 4] = [
    Package {
        name: "socket.io-client",
        version: "4.8.4",
        script: "export { io } from \"socket.io-client\";",
    },
    Package {
        name: "@upstash/redis",
        version: "1.39.0",
        script: "export { Redis } from \"@upstash/redis\";",
    },
    Package {
        name: "pusher-js",
        version: "8.6.0",
        script: "export { default } from \"pusher-js\";",
    },
    Package {
        name: "centrifuge",
        version: "5.8.0",
        script: "export { Centrifuge } from \"centrifuge\";",
    },
];

/// Installs the packages into a folder, and prints a row for each.
pub(super) fn run(folder: &Path) -> anyhow::Result<()> {
    announce("measuring comparable packages");
    fs::create_dir_all(folder)?;
    // So that npm does not look for a package in the folders above.
    fs::write(folder.join("package.json"), "{ \"private\": true }\n")?;
    let mut install = command("npm");
    install
        .args([
            "install",
            "--no-audit",
            "--no-fund",
            "--no-progress",
            "--ignore-scripts",
            "--silent",
            "--prefix",
        ])
        .arg(folder)
        .args(PACKAGES.map(|package| format!("{}@{}", package.name, package.version)));
    command::run(&mut install, "check that the npm registry is reachable")?;
    for package in PACKAGES {
        let entry = folder.join("entry.js");
        fs::write(&entry, package.script)?;
        let bundle = super::minify(&entry, &folder.join("bundle.js"), &["--platform=browser"])?;
        for size in super::measure(&[&bundle])? {
            super::show(&format!("{} {}", package.name, package.version), size);
        }
    }
    Ok(())
}
