//! What a relay can be told to do.

use std::num::NonZeroU32;
use std::time::Duration;

/// How bytes of one connection go in one direction. It holds until another one is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// As they come.
    Pass,
    /// They are accepted, up to a bound, and not passed on. Nor is the end of the connection.
    Stall,
    /// Each byte so much later.
    Delay(Duration),
    /// So many bytes a second.
    Slow(NonZeroU32),
    /// So many more bytes pass; when another one comes, the connection is cut. With 0 to the
    /// client, what is asked for next is done and its answer is lost.
    CutAfter(u64, Cut),
    /// Half of what comes next passes, and the connection is cut: an answer is lost in the middle
    /// of a frame.
    Halve(Cut),
}

/// How a connection is cut, on both of its sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It is closed, as by a program that ends (FIN).
    Close,
    /// It is reset (RST).
    Reset,
}

/// In which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the target.
    ToTarget,
    /// From the target to the client.
    ToClient,
    /// Both.
    Both,
}

/// For which connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that there are.
    Present,
    /// Those that will come.
    Future,
    /// Both.
    All,
    /// The one that came as this, counted from 0, if it is there.
    Nth(u64),
}

impl Way {
    /// Places in a pair of what goes to the target and what goes to the client.
    pub(super) fn places(self) -> &'static [usize] {
        match self {
            Self::ToTarget => &[0],
            Self::ToClient => &[1],
            Self::Both => &[0, 1],
        }
    }
}

impl Scope {
    /// Whether it holds for the connection that came as this.
    pub(super) fn holds_for(self, number: u64) -> bool {
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
