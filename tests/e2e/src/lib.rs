//! Tests of several crates together, with real servers: see `tests/`.

/// The code in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
