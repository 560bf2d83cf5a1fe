//! The bounds within which a server must stay under attack.

/// The memory budget (`--max-memory`) of attacked servers, in MiB.
pub(crate) const BUDGET_MIB: u64 = 192;

/// What a server's process may take beside its budget, in MiB: code, stacks, tables, and what the
/// allocator keeps.
pub(crate) const BESIDE_BUDGET_MIB: u64 = 64;

/// The memory of a server whose streams are in memory (`--memory-bytes`), in MiB.
pub(crate) const STORE_MIB: u64 = 64;

/// The most that the bystander's 99th percentile may grow.
pub(crate) const MAX_P99_RATIO: f64 = 3.0;

/// A 99th percentile below this counts as this, in ms: a scheduler's slice, not the server, decides
/// about less.
pub(crate) const P99_FLOOR_MS: f64 = 4.0;

/// What the bystander's 99th percentile may be while sockets move data as fast as they can, in ms.
/// Each has a turn of a tenth of a millisecond, and a call takes up to six rounds of turns.
const BULK_P99_MS: f64 = 60.0;

/// Lines that a server may log at once under attack, and then every second.
pub(crate) const LOG_LINES: (u64, u64) = (50, 5);

/// What an attack may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Growth of Redis's memory in MiB.
    pub(crate) redis_mib: u64,
    /// What the bystander may notice.
    pub(crate) bystander: BystanderBound,
    /// A 99th percentile up to this harms nobody, in ms.
    pub(crate) harmless_p99_ms: f64,
}

/// What the bystander may notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BystanderBound {
    /// No error, and delays within [`MAX_P99_RATIO`].
    Unharmed,
    /// Errors and delays, after which it is served again: the attack takes Redis away.
    Recovers,
    /// Adds fail with `OOM`, and nothing arrives; reads go on: the attack fills the store.
    ReadsOn,
}

impl Bounds {
    pub(crate) const DEFAULT: Self = Self {
        redis_mib: 64,
        bystander: BystanderBound::Unharmed,
        harmless_p99_ms: P99_FLOOR_MS,
    };

    /// The bounds of an attack that moves as much data as the server's cores can.
    pub(crate) const BULK: Self = Self {
        harmless_p99_ms: BULK_P99_MS,
        ..Self::DEFAULT
    };

    pub(crate) const fn redis_mib(mut self, mib: u64) -> Self {
        self.redis_mib = mib;
        self
    }

    pub(crate) const fn bystander(mut self, bound: BystanderBound) -> Self {
        self.bystander = bound;
        self
    }
}
