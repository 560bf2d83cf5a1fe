//! `make`, with which the allocator of the server is built.

use super::{Missing, executable};

pub(super) fn missing() -> Option<Missing> {
    executable::find("make").is_none().then_some(Missing {
        what: "make",
        packages: &["make"],
        elsewhere: "install make",
    })
}
