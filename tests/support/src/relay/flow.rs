//! The faults that a relay can inject.

use std::num::NonZeroU32;
use std::time::Duration;

/// How the bytes of a connection pass in one direction, until another flow is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Bytes pass as they arrive.
    Pass,
    /// Bytes are read, up to a bound, and not forwarded. Nor is the end of the connection.
    Stall,
    /// Each byte passes this much later.
    Delay(Duration),
    /// This many bytes per second pass.
    Slow(NonZeroU32),
    /// This many more bytes pass; the connection is cut when another byte arrives. With 0 to the
    /// client, its next request is performed and the reply is lost.
    CutAfter(u64, Cut),
    /// Half of the next bytes pass, and the connection is cut: a reply is lost in the middle of a
    /// frame.
    CutHalfway(Cut),
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Both sockets are closed, as by a program that ends (FIN).
    Close,
    /// Both sockets are reset (RST).
    Reset,
    /// The client's socket is closed, and the target's stays open: it hears nothing more, and what
    /// the target sends is lost. So does a connection end when a client's network changes. The
    /// target's socket ends when the target ends it, or with the relay.
    HalfOpen,
}

/// The direction of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the target.
    ToTarget,
    /// From the target to the client.
    ToClient,
    /// Both.
    Both,
}

/// The connections that a setting applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Open connections.
    Present,
    /// Future connections.
    Future,
    /// Both.
    All,
    /// The open connection with this number, counted from 0 in the order of arrival.
    Nth(u64),
}

impl Direction {
    /// Returns indices into a pair: to the target, to the client.
    pub(super) fn indices(self) -> &'static [usize] {
        match self {
            Self::ToTarget => &[0],
            Self::ToClient => &[1],
            Self::Both => &[0, 1],
        }
    }
}

impl Scope {
    /// Whether it includes the open connection with this number.
    pub(super) fn includes(self, number: u64) -> bool {
        match self {
            Self::Present | Self::All => true,
            Self::Future => false,
            Self::Nth(wanted) => number == wanted,
        }
    }

    pub(super) fn is_future(self) -> bool {
        matches!(self, Self::Future | Self::All)
    }
}
