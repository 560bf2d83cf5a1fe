//! Short names for what module and glue take from each other: the long ones are 2 kB of the download.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::NAME;

/// The name that `wasm-opt` gives to the only module from which the module imports.
const MODULE: &str = "a";

/// What `wasm-opt` renamed.
#[derive(Debug)]
pub(super) struct Names {
    imports: BTreeMap<String, String>,
    exports: BTreeMap<String, String>,
}

impl Names {
    /// Reads what `wasm-opt --minify-imports-and-exports-and-modules` prints.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let names: Value = serde_json::from_str(text).context("wasm-opt printed no names")?;
        let read = |kind: &str| {
            let list = names[kind].as_array().map_or(&[][..], Vec::as_slice);
            let pair = |row: &Value| {
                let row = row.as_array()?;
                let text = |index: usize| row.get(index)?.as_str().map(str::to_owned);
                // The last two: a row of an import begins with its module.
                Some((text(row.len() - 2)?, text(row.len() - 1)?))
            };
            let pairs: Option<BTreeMap<_, _>> = list.iter().map(pair).collect();
            pairs.with_context(|| format!("wasm-opt printed other {kind} than expected"))
        };
        Ok(Self {
            imports: read("imports")?,
            exports: read("exports")?,
        })
    }

    /// Renames the same in the glue.
    pub(super) fn apply(&self, glue: &str) -> anyhow::Result<String> {
        let module = format!("\"./{NAME}_bg.js\": ");
        ensure!(
            glue.contains(&module),
            "the glue names its module otherwise"
        );
        let glue = glue.replace(&module, &format!("\"{MODULE}\": "));
        let mut renamed = String::with_capacity(glue.len());
        let mut rest = glue.as_str();
        let mut imports = 0;
        while !rest.is_empty() {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
            let start = rest.find(is_part).unwrap_or(rest.len());
            renamed.push_str(&rest[..start]);
            rest = &rest[start..];
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            let import = self.imports.get(word).filter(|_| after.starts_with(": "));
            let export = self
                .exports
                .get(word)
                .filter(|_| renamed.ends_with("wasm."));
            imports += usize::from(import.is_some());
            renamed.push_str(import.or(export).map_or(word, String::as_str));
        }
        ensure!(
            imports == self.imports.len(),
            "the glue has {imports} of the module's {} imports",
            self.imports.len()
        );
        Ok(renamed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = r#"{
        "imports": [["./streamgate_wasm_bg.js", "__wbg_new_1", "$"]],
        "exports": [["memory", "b"], ["connection_new", "c"]]
    }"#;

    #[test]
    fn both_sides_have_the_same_names() {
        let names = Names::parse(PRINTED).unwrap();
        let glue = "const memory = wasm.memory; wasm.connection_new(connection_new);\n\
            const import0 = { __wbg_new_1: f };\nreturn { \"./streamgate_wasm_bg.js\": import0 };";
        let short = "const memory = wasm.b; wasm.c(connection_new);\n\
            const import0 = { $: f };\nreturn { \"a\": import0 };";
        assert_eq!(names.apply(glue).unwrap(), short);
    }

    #[test]
    fn a_glue_without_an_import_is_refused() {
        let names = Names::parse(PRINTED).unwrap();
        assert!(names.apply("\"./streamgate_wasm_bg.js\": {}").is_err());
        assert!(names.apply("__wbg_new_1: f").is_err());
    }
}
