//! The streams in use: the same for every target.

/// About how many entries a stream keeps, so that memory use stays level.
pub(super) const MAXLEN: usize = 100_000;

/// The stream that is read. The harness has filled it with entries `1-0`, `2-0` and so on.
pub(crate) const READ_FROM: &str = "bench:reads";

/// Entries in it.
pub(crate) const READABLE: usize = 10_000;

/// Entries of one read.
pub(super) const READ: usize = 100;

/// Returns the names of `count` streams.
pub(super) fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}:{i}")).collect()
}

/// Returns a generator of ids to read after, all over the stream.
pub(super) fn read_positions() -> impl FnMut() -> String {
    // A prime, so that the steps reach every part of the stream.
    const STEP: usize = 4_111;
    let mut position = 0;
    move || {
        position = (position + STEP) % (READABLE - READ);
        format!("{position}-0")
    }
}

/// Fails unless a read returned a full page.
pub(super) fn check_full(entries: usize) -> anyhow::Result<()> {
    anyhow::ensure!(
        entries == READ,
        "a read returned {entries} entries instead of {READ}"
    );
    Ok(())
}
