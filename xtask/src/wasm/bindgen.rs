//! Module to module without imports, or to module and glue.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use walrus::passes::gc;
use wasm_bindgen_cli_support::Bindgen;

use super::NAME;
use crate::command::announce;
use crate::files::remove_folder;

/// Writes the module of the npm package into `dist`, and returns its place. It takes and returns
/// numbers only, so JavaScript calls it without glue.
pub(super) fn bind(module: &Path, dist: &Path) -> anyhow::Result<PathBuf> {
    announce("wasm-bindgen");
    remove_folder(dist)?;
    fs::create_dir_all(dist)?;
    let mut output = Bindgen::new()
        .input_path(module)
        .out_name(NAME)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate_output()?;
    let module = output.wasm_mut();
    let for_glue = module
        .exports
        .iter()
        .filter(|export| export.name.starts_with("__"))
        .map(|export| export.id())
        .collect::<Vec<_>>();
    for export in for_glue {
        module.exports.delete(export);
    }
    gc::run(module);
    let import = module.imports.iter().next();
    ensure!(
        import.is_none(),
        "the module imports {}, so it would need glue",
        import.map_or("", |import| &import.name)
    );
    let place = dist.join(format!("{NAME}.wasm"));
    module.emit_wasm_file(&place)?;
    Ok(place)
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

/// Writes a module and its glue as a page loads them.
pub(super) fn bind_for_page(module: &Path, folder: &Path) -> anyhow::Result<()> {
    announce("wasm-bindgen");
    remove_folder(folder)?;
    Bindgen::new()
        .input_path(module)
        .web(true)?
        .typescript(false)
        .omit_default_module_path(false)
        .generate(folder)?;
    Ok(())
}
