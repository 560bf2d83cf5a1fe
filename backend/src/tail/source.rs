//! A tail as the server pulls it: as far as its subscriber can take it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{self, StreamExt};
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheResult, Gap, Tail, TailItem};

use crate::tail::segment::Segment;

/// A tail that is pulled. Dropping it ends it.
///
/// It is unlike a stream in that whoever pulls says how much it can take, so that nothing is read
/// that would have to be kept.
pub trait TailSource: Send {
    /// What comes next, as far as `room` goes: no more than its entries, and no entry behind the
    /// one that uses up its bytes. Without room nothing comes, but for the first item, which is
    /// then without entries. What does not come is not held for long: a tail without room reads
    /// again from where it stands once there is some.
    ///
    /// The first poll begins it: what `Now` and `Last` mean is asked before this returns, behind
    /// what the same caller asked before.
    ///
    /// # Errors
    ///
    /// Those of [`tail`](streamgate_protocol::SubscribingBackend::tail), after which it is not
    /// polled again.
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<TailEvent>>;
}

/// What comes of a tail.
#[derive(Debug, Clone)]
pub enum TailEvent {
    /// Entries, or where the tail stands.
    Segment(Arc<Segment>),
    /// Entries are, or may be, missing. Rare, so it takes no room beside what is not.
    Gap(Box<Gap>),
}

impl From<TailEvent> for TailItem {
    fn from(followed: TailEvent) -> Self {
        match followed {
            TailEvent::Segment(segment) => {
                let (entries, position) = segment.into_parts();
                Self::Entries { entries, position }
            }
            TailEvent::Gap(gap) => Self::Gap(*gap),
        }
    }
}

/// The tail of a follower whose caller takes all there is, one item a poll.
pub fn tail(follow: impl TailSource + 'static) -> Tail {
    stream::unfold(Some(follow), async |follow| {
        let mut follow = follow?;
        let next = poll_fn(|cx| follow.poll_next(cx, Credit::UNLIMITED)).await;
        let rest = next.is_ok().then_some(follow);
        Some((next.map(TailItem::from), rest))
    })
    .boxed()
}
