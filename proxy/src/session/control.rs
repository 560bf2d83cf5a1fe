//! What comes seldom: the socket's moment to close, news of the backend, the alarm.
//!
//! A session is woken for much else. To look at these each time would take locks that all sockets share,
//! and memory that nothing else of a turn touches: so they are on the heap, and looked at when they
//! call.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, FutureExt};
use streamgate_protocol::message::Fault;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::session::availability_changes::Availability;
use crate::session::poll_gate::Called;
use crate::shutdown::Drain;

/// What has come.
pub(super) enum Aside {
    /// The server goes away, and this socket is to close now.
    Leave,
    /// Why the backend is away, or nothing when it is there again.
    Backend(Option<Fault>),
    /// The alarm rings: see [`has_rung`](Asides::has_rung).
    Alarm,
}

/// Waits for all of it.
pub(super) struct Asides<'b> {
    called: Called,
    /// To be looked at even without a call: something was ready, was set, or may wait for room.
    must: bool,
    /// Of the alarm; here, so that a turn need not touch the heap for it.
    deadline: Instant,
    has_rung: bool,
    waits: Waits<'b>,
}

struct Waits<'b> {
    moment: BoxFuture<'b, ()>,
    availability: Availability,
    alarm: Pin<Box<Sleep>>,
}

impl<'b> Asides<'b> {
    /// The alarm is yet to be set.
    pub(super) fn new(drain: &'b Drain, availability: Availability) -> Self {
        let deadline = Instant::now();
        let waits = Waits {
            moment: drain.moment().boxed(),
            availability,
            alarm: Box::pin(sleep_until(deadline)),
        };
        Self {
            called: Called::new(),
            must: true,
            deadline,
            has_rung: false,
            waits,
        }
    }

    /// When the alarm rings.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn set_alarm(&mut self, deadline: Instant) {
        (self.deadline, self.has_rung) = (deadline, false);
        self.waits.alarm.as_mut().reset(deadline);
        self.must = true;
    }

    /// Whether the alarm has rung since it was set. It waits for its turn: first comes what is there
    /// already, and may show that there was no need to ring.
    pub(super) fn has_rung(&self) -> bool {
        self.has_rung
    }

    /// Waits for the next; news of the backend only if there is `room` for them. [`Leave`](Aside::Leave)
    /// is the last: it must not be asked again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn next(&mut self, room: bool) -> Aside {
        poll_fn(|cx| self.poll_next(cx, room)).await
    }

    fn poll_next(&mut self, cx: &Context<'_>, room: bool) -> Poll<Aside> {
        let Self {
            called,
            must,
            has_rung,
            waits,
            ..
        } = self;
        let mut looked = false;
        let aside = called.poll(cx, *must, |cx| {
            looked = true;
            waits.poll_next(cx, room, *has_rung)
        });
        if looked {
            // What was ready may be so again, and news may wait for room.
            *must = aside.is_ready() || !room;
        }
        *has_rung |= matches!(aside, Poll::Ready(Aside::Alarm));
        aside
    }
}

impl Waits<'_> {
    fn poll_next(&mut self, cx: &mut Context<'_>, room: bool, has_rung: bool) -> Poll<Aside> {
        if self.moment.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Aside::Leave);
        }
        if room && let Poll::Ready(away) = self.availability.poll_changed(cx) {
            return Poll::Ready(Aside::Backend(away));
        }
        if has_rung {
            return Poll::Pending;
        }
        self.alarm.as_mut().poll(cx).map(|()| Aside::Alarm)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use streamgate_protocol::CacheError;
    use streamgate_protocol::error::code;
    use tokio::sync::watch;
    use tokio::time::advance;

    use super::*;

    const LATER: Duration = Duration::from_secs(1);

    /// The alarm is set.
    fn asides(drain: &Drain, told: watch::Receiver<Option<CacheError>>) -> Asides<'_> {
        let (availability, _) = Availability::watching(told);
        let mut asides = Asides::new(drain, availability);
        asides.set_alarm(Instant::now() + LATER);
        asides
    }

    fn now(asides: &mut Asides<'_>, room: bool) -> Option<Aside> {
        asides.next(room).now_or_never()
    }

    fn away() -> Option<CacheError> {
        Some(CacheError::backend(code::DISCONNECTED, "no Redis"))
    }

    #[tokio::test(start_paused = true)]
    async fn the_alarm_rings_once_until_it_is_set_again() {
        let (drain, (_tell, told)) = (Drain::new(LATER), watch::channel(None));
        let mut asides = asides(&drain, told);
        for _ in 0..2 {
            assert!(now(&mut asides, true).is_none());
            advance(LATER).await;
            assert!(matches!(now(&mut asides, true), Some(Aside::Alarm)));
            assert!(asides.has_rung());
            assert!(now(&mut asides, true).is_none());
            asides.set_alarm(Instant::now() + LATER);
            assert!(!asides.has_rung());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn news_wait_for_room_and_the_moment_to_close_does_not() {
        let (drain, (tell, told)) = (Drain::new(LATER), watch::channel(None));
        let mut asides = asides(&drain, told);
        assert!(now(&mut asides, true).is_none());
        tell.send(away()).unwrap();
        assert!(now(&mut asides, false).is_none());
        let Some(Aside::Backend(Some(fault))) = now(&mut asides, true) else {
            panic!("it is away");
        };
        assert_eq!(fault.code, code::DISCONNECTED);
        assert!(now(&mut asides, false).is_none());
        tell.send(None).unwrap();
        assert!(matches!(now(&mut asides, true), Some(Aside::Backend(None))));
        tell.send(away()).unwrap();
        assert!(now(&mut asides, false).is_none());
        drain.begin(1);
        assert!(matches!(now(&mut asides, false), Some(Aside::Leave)));
    }

    /// Whoever waits is woken by each.
    #[tokio::test(start_paused = true)]
    async fn each_of_them_wakes() {
        let (drain, (tell, told)) = (Drain::new(Duration::ZERO), watch::channel(None));
        let mut asides = asides(&drain, told);
        assert!(matches!(asides.next(true).await, Aside::Alarm));
        asides.set_alarm(Instant::now() + LATER * 100);
        assert!(now(&mut asides, true).is_none());
        // Earlier than it was set to.
        let start = Instant::now();
        asides.set_alarm(start + LATER);
        assert!(matches!(asides.next(true).await, Aside::Alarm));
        assert!(start.elapsed() < LATER * 2);
        let tells = async { tell.send(away()).unwrap() };
        let (news, ()) = tokio::join!(asides.next(true), tells);
        assert!(matches!(news, Aside::Backend(Some(_))));
        let (left, ()) = tokio::join!(asides.next(true), async { drain.begin(1) });
        assert!(matches!(left, Aside::Leave));
    }
}
