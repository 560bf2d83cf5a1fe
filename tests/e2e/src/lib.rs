//! End-to-end tests: several crates together, with real servers. See `tests/`.

/// Compiles the code in the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
