//! Reclaiming entries that crashed consumers hold.

pub mod schedule;
pub mod step;
