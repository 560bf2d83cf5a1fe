//! A tail as the server pulls it: only as far as its subscriber has room.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{self, StreamExt};
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheResult, Gap, Skipped, Tail, TailItem};

use crate::tail::segment::Segment;

/// A tail that is pulled. Dropping it ends it.
///
/// Unlike a [`Stream`](futures_util::Stream), each poll says how much the caller can take, so that
/// nothing is read that would have to be kept.
pub trait TailSource: Send {
    /// Polls for the next item, within `room`.
    ///
    /// An item has at most `room.entries` entries. It ends with the entry that uses up `room.bytes`
    /// at the latest; that entry may be larger than the rest of the room. If there is no room, only
    /// the first item of a tail is returned, without entries.
    ///
    /// The first poll starts the tail. It sends the request that resolves `Now` and `Last` before
    /// it returns, in order with earlier requests of the same caller.
    ///
    /// Do not keep entries for which there is no room. Read them again from the tail's position
    /// once a poll has room.
    ///
    /// # Errors
    ///
    /// Those of [`tail`](streamgate_protocol::SubscribingBackend::tail). After an error the caller
    /// does not poll again.
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<TailEvent>>;
}

/// An item of a tail.
///
/// Exhaustive on purpose: code that delivers a tail must handle every kind of item.
#[derive(Debug, Clone)]
pub enum TailEvent {
    /// Entries, or only the tail's position.
    Segment(Arc<Segment>),
    /// Entries are, or may be, missing here. Boxed, because it is rare and larger than a segment.
    Gap(Box<Gap>),
    /// An entry that cannot be carried to its reader. It costs one entry of credit and no bytes.
    Skipped(Box<Skipped>),
}

impl TailEvent {
    /// Returns the credit that the item uses.
    pub fn cost(&self) -> Credit {
        match self {
            Self::Segment(segment) => segment.cost(),
            Self::Gap(_) => Credit::default(),
            Self::Skipped(_) => Credit {
                entries: 1,
                bytes: 0,
            },
        }
    }
}

impl From<TailEvent> for TailItem {
    fn from(event: TailEvent) -> Self {
        match event {
            TailEvent::Segment(segment) => {
                let (entries, position) = segment.into_parts();
                Self::Entries { entries, position }
            }
            TailEvent::Gap(gap) => Self::Gap(*gap),
            TailEvent::Skipped(skipped) => Self::Skipped(*skipped),
        }
    }
}

/// Turns a source into a stream that takes all there is, one item a poll.
pub fn into_tail(source: impl TailSource + 'static) -> Tail {
    stream::unfold(Some(source), async |source| {
        let mut source = source?;
        let next = poll_fn(|cx| source.poll_next(cx, Credit::UNLIMITED)).await;
        let rest = next.is_ok().then_some(source);
        Some((next.map(TailItem::from), rest))
    })
    .boxed()
}
