//! Which streams are used, and how: the same for every rival.

/// About how many entries a stream keeps, so that memory stays level.
pub(super) const MAXLEN: usize = 100_000;

/// The stream that is read; whoever orders it has filled it with entries `1-0`, `2-0` and so on.
pub(crate) const READ_FROM: &str = "bench:reads";

/// Entries in it.
pub(crate) const READABLE: usize = 10_000;

/// Entries of one read.
pub(super) const READ: usize = 100;

/// From one woken stream to the next: a prime, so that the steps come everywhere.
pub(super) const WAKE_STEP: usize = 7_919;

/// A stream for each connection.
pub(super) fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}:{i}")).collect()
}

/// Ids to read after, all over the stream, the same for every rival.
pub(super) fn places() -> impl FnMut() -> String {
    // A prime, so that the steps come everywhere.
    const STEP: usize = 4_111;
    let mut place = 0;
    move || {
        place = (place + STEP) % (READABLE - READ);
        format!("{place}-0")
    }
}

/// Refuses a read that has not brought all it asked for.
pub(super) fn full(entries: usize) -> anyhow::Result<()> {
    anyhow::ensure!(entries == READ, "a read brought {entries} entries");
    Ok(())
}
