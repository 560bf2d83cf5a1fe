//! The command line.

use anyhow::ensure;
use clap::Parser;

use crate::attack::Attack;
use crate::attacks;
use crate::scene::Form;

/// Attack a real server, and check what it costs the server and its other clients
#[derive(Debug, Parser)]
#[command(name = "cargo xtask abuse")]
pub(crate) struct Arguments {
    /// Run only attacks whose name contains this text. Can be repeated
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,

    /// List the attacks
    #[arg(long)]
    pub(crate) list: bool,

    /// Make the short run of `cargo xtask test`: it judges memory, counts and codes, but no
    /// latencies
    #[arg(long)]
    short: bool,
}

impl Arguments {
    pub(crate) fn form(&self) -> Form {
        if self.short { Form::Short } else { Form::Long }
    }

    /// Returns the attacks to run.
    pub(crate) fn selected(&self) -> anyhow::Result<Vec<&'static Attack>> {
        let wanted = |attack: &&Attack| {
            self.only.is_empty() || self.only.iter().any(|text| attack.name.contains(text))
        };
        let selected: Vec<_> = attacks::all().filter(wanted).collect();
        ensure!(
            !selected.is_empty(),
            "no attack has a name with '{}'; --list shows them",
            self.only.join("' or '")
        );
        Ok(selected)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn attacks_are_selected_by_a_part_of_their_name() {
        let select = |arguments: &[&str]| {
            let arguments = Arguments::parse_from([&["abuse"], arguments].concat());
            arguments.selected().map(|selected| selected.len())
        };
        let all = select(&[]).unwrap();
        assert!((1..all).contains(&select(&["--only", "flood"]).unwrap()));
        assert!(select(&["--only", "no such attack"]).is_err());
    }
}
