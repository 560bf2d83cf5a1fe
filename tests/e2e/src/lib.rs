//! Tests of several crates together, with real servers: see `tests/`.
