//! Module to module and glue.

use std::fs;
use std::path::{Path, PathBuf};

use wasm_bindgen_cli_support::Bindgen;

use super::NAME;
use crate::command::announce;
use crate::files::remove_folder;

/// Writes the glue and the bound module into `dist`, and returns the module's place.
pub(super) fn bind(module: &Path, dist: &Path) -> anyhow::Result<PathBuf> {
    announce("wasm-bindgen");
    remove_folder(dist)?;
    Bindgen::new()
        .input_path(module)
        .out_name(NAME)
        .web(true)?
        // The entries load the module; and the package's types are written by hand.
        .omit_default_module_path(true)
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(dist)?;
    Ok(dist.join(format!("{NAME}_bg.wasm")))
}

/// Writes a module and its glue as Node.js requires them.
pub(super) fn bind_for_node(module: &Path, folder: &Path) -> anyhow::Result<()> {
    announce("wasm-bindgen");
    remove_folder(folder)?;
    Bindgen::new()
        .input_path(module)
        .nodejs(true)?
        .typescript(false)
        .generate(folder)?;
    // Beside packages that are modules of the other kind.
    fs::write(folder.join("package.json"), "{ \"type\": \"commonjs\" }\n")?;
    Ok(())
}
