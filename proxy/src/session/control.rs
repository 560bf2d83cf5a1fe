//! Rare events of a session: its time to close, its take-over by a newer one, its eviction for lack
//! of memory, changes of access and of the backend's availability, its timer.
//!
//! To poll them each time that a session is woken would take locks that all sockets share, and
//! memory that nothing else touches. So they are on the heap, behind a [poll gate](PollGate).

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, FutureExt};
use streamgate_backend::memory_budget::MemoryShare;
use streamgate_protocol::message::Fault;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::accept::Evicted;
use crate::access::AccessChanges;
use crate::client_registry::TakenOver;
use crate::refusal::Refusal;
use crate::session::availability_changes::AvailabilityChanges;
use crate::session::poll_gate::PollGate;
use crate::shutdown::Shutdown;

/// A rare event.
pub(super) enum ControlEvent {
    /// The server shuts down, and this socket has to close now.
    CloseNow,
    /// The client has said hello on another socket.
    TakenOver,
    /// The server is out of memory, and this client holds most.
    Evicted,
    /// The client has not said hello, and its place is needed.
    MakeRoom(Refusal),
    /// The policy, or what is revoked, has changed.
    AccessChanged,
    /// The issuer's keys were fetched, or were not in time: see
    /// [`await_fetch`](ControlEvents::await_fetch).
    KeysFetched,
    /// Why the backend is unavailable, or `None` when it is available again.
    Availability(Option<Fault>),
    /// The timer has fired: see [`has_fired`](ControlEvents::has_fired).
    Timer,
}

/// Waits for the rare events.
pub(super) struct ControlEvents<'b> {
    gate: PollGate,
    /// An event was ready, was set, or may wait for room: no waker call will follow.
    force: bool,
    /// Of the timer; here, so that reading it does not touch the heap.
    deadline: Instant,
    has_fired: bool,
    sources: ControlSources<'b>,
}

struct ControlSources<'b> {
    close_time: BoxFuture<'b, ()>,
    taken_over: Option<TakenOver>,
    evicted: BoxFuture<'b, ()>,
    availability: AvailabilityChanges,
    /// Absent if the server has no policy, and after the hello.
    hello_evicted: Option<BoxFuture<'b, Refusal>>,
    /// Absent if the server has no policy.
    access: Option<BoxFuture<'b, AccessChanges>>,
    /// Present while a token waits for the issuer's keys.
    fetch: Option<BoxFuture<'b, ()>>,
    timer: Pin<Box<Sleep>>,
}

impl<'b> ControlEvents<'b> {
    /// The caller has yet to set the timer.
    pub(super) fn new(
        shutdown: &'b Shutdown,
        memory: MemoryShare,
        availability: AvailabilityChanges,
        access: Option<AccessChanges>,
        hello_evicted: Option<Evicted>,
    ) -> Self {
        let deadline = Instant::now();
        let sources = ControlSources {
            close_time: shutdown.close_time().boxed(),
            taken_over: None,
            evicted: async move { memory.evicted().await }.boxed(),
            availability,
            hello_evicted: hello_evicted
                .map(|mut evicted| async move { evicted.reason().await }.boxed()),
            access: access.map(|changes| next_change(changes).boxed()),
            fetch: None,
            timer: Box::pin(sleep_until(deadline)),
        };
        Self {
            gate: PollGate::new(),
            force: true,
            deadline,
            has_fired: false,
            sources,
        }
    }

    /// Returns when the timer fires.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn set_timer(&mut self, deadline: Instant) {
        (self.deadline, self.has_fired) = (deadline, false);
        self.sources.timer.as_mut().reset(deadline);
        self.force = true;
    }

    /// Ends the wait for what would need the place of a client without a hello.
    pub(super) fn hello_arrived(&mut self) {
        self.sources.hello_evicted = None;
    }

    /// Sets what completes when another session takes the client over.
    pub(super) fn set_taken_over(&mut self, taken_over: TakenOver) {
        self.sources.taken_over = Some(taken_over);
        self.force = true;
    }

    /// Sets what completes when a fetch of the issuer's keys has ended.
    pub(super) fn await_fetch(&mut self, ended: impl Future<Output = ()> + Send + 'b) {
        self.sources.fetch = Some(ended.boxed());
        self.force = true;
    }

    /// Returns whether the timer has fired since it was set. The session acts on that last: events
    /// that are ready already may show that the client is alive.
    pub(super) fn has_fired(&self) -> bool {
        self.has_fired
    }

    /// Waits for the next event; for changes of the availability only if there is `room`.
    ///
    /// [`CloseNow`](ControlEvent::CloseNow), [`TakenOver`](ControlEvent::TakenOver),
    /// [`Evicted`](ControlEvent::Evicted) and [`MakeRoom`](ControlEvent::MakeRoom) are last events: do
    /// not call this again after one.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no event is lost.
    pub(super) async fn next(&mut self, room: bool) -> ControlEvent {
        poll_fn(|cx| self.poll_next(cx, room)).await
    }

    fn poll_next(&mut self, cx: &Context<'_>, room: bool) -> Poll<ControlEvent> {
        let Self {
            gate,
            force,
            has_fired,
            sources,
            ..
        } = self;
        let mut polled = false;
        let event = gate.poll(cx, *force, |cx| {
            polled = true;
            sources.poll_next(cx, room, *has_fired)
        });
        if polled {
            // A ready source may be ready again, and a change may wait for room.
            *force = event.is_ready() || !room;
        }
        *has_fired |= matches!(event, Poll::Ready(ControlEvent::Timer));
        event
    }
}

impl ControlSources<'_> {
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        room: bool,
        has_fired: bool,
    ) -> Poll<ControlEvent> {
        if self.close_time.as_mut().poll(cx).is_ready() {
            return Poll::Ready(ControlEvent::CloseNow);
        }
        if let Some(taken_over) = &mut self.taken_over
            && taken_over.poll_unpin(cx).is_ready()
        {
            return Poll::Ready(ControlEvent::TakenOver);
        }
        if self.evicted.as_mut().poll(cx).is_ready() {
            return Poll::Ready(ControlEvent::Evicted);
        }
        if let Some(hello_evicted) = &mut self.hello_evicted
            && let Poll::Ready(refusal) = hello_evicted.as_mut().poll(cx)
        {
            return Poll::Ready(ControlEvent::MakeRoom(refusal));
        }
        if let Some(access) = &mut self.access
            && let Poll::Ready(changes) = access.as_mut().poll(cx)
        {
            *access = next_change(changes).boxed();
            return Poll::Ready(ControlEvent::AccessChanged);
        }
        if let Some(fetch) = &mut self.fetch
            && fetch.as_mut().poll(cx).is_ready()
        {
            self.fetch = None;
            return Poll::Ready(ControlEvent::KeysFetched);
        }
        if room && let Poll::Ready(unavailable) = self.availability.poll_changed(cx) {
            return Poll::Ready(ControlEvent::Availability(unavailable));
        }
        if has_fired {
            return Poll::Pending;
        }
        self.timer.as_mut().poll(cx).map(|()| ControlEvent::Timer)
    }
}

/// Waits for the next change of access.
async fn next_change(mut changes: AccessChanges) -> AccessChanges {
    if changes.changed().await.is_err() {
        // The server is gone, and its sessions with it.
        std::future::pending().await
    }
    changes
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use streamgate_backend::MemoryBudget;
    use streamgate_protocol::CacheError;
    use streamgate_protocol::error::code;
    use tokio::sync::watch;
    use tokio::time::advance;

    use super::*;

    const TIMER: Duration = Duration::from_secs(1);

    /// The shortest between two reports of the availability.
    const INTERVAL: Duration = Duration::from_secs(1);

    /// Events whose timer is set.
    fn control_events(
        shutdown: &Shutdown,
        availability: watch::Receiver<Option<CacheError>>,
    ) -> ControlEvents<'_> {
        let (changes, _) = AvailabilityChanges::watching(availability);
        let memory = MemoryBudget::unlimited().share();
        let mut events = ControlEvents::new(shutdown, memory, changes, None, None);
        events.set_timer(Instant::now() + TIMER);
        events
    }

    fn ready_event(events: &mut ControlEvents<'_>, room: bool) -> Option<ControlEvent> {
        events.next(room).now_or_never()
    }

    fn disconnected() -> Option<CacheError> {
        Some(CacheError::backend(code::DISCONNECTED, "no Redis"))
    }

    #[tokio::test(start_paused = true)]
    async fn the_timer_fires_once_until_it_is_set_again() {
        let (shutdown, (_sender, receiver)) = (Shutdown::new(TIMER), watch::channel(None));
        let mut events = control_events(&shutdown, receiver);
        for _ in 0..2 {
            assert!(ready_event(&mut events, true).is_none());
            advance(TIMER).await;
            let fired = ready_event(&mut events, true);
            assert!(matches!(fired, Some(ControlEvent::Timer)));
            assert!(events.has_fired());
            assert!(ready_event(&mut events, true).is_none());
            events.set_timer(Instant::now() + TIMER);
            assert!(!events.has_fired());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_availability_waits_for_room_and_the_close_time_does_not() {
        let (shutdown, (sender, receiver)) = (Shutdown::new(TIMER), watch::channel(None));
        let mut events = control_events(&shutdown, receiver);
        assert!(ready_event(&mut events, true).is_none());
        sender.send(disconnected()).unwrap();
        assert!(ready_event(&mut events, false).is_none());
        // It has to last for a moment before it counts.
        assert!(ready_event(&mut events, true).is_none());
        advance(INTERVAL / 2).await;
        assert!(ready_event(&mut events, false).is_none());
        let Some(ControlEvent::Availability(Some(fault))) = ready_event(&mut events, true) else {
            panic!("the backend is unavailable");
        };
        assert_eq!(fault.code, code::DISCONNECTED);
        assert!(ready_event(&mut events, false).is_none());
        sender.send(None).unwrap();
        assert!(
            ready_event(&mut events, true).is_none(),
            "too soon after the last change"
        );
        events.set_timer(Instant::now() + INTERVAL * 100);
        advance(INTERVAL).await;
        let available = ready_event(&mut events, true);
        assert!(matches!(available, Some(ControlEvent::Availability(None))));
        sender.send(disconnected()).unwrap();
        advance(INTERVAL * 2).await;
        assert!(ready_event(&mut events, false).is_none());
        shutdown.begin(1);
        let close = ready_event(&mut events, false);
        assert!(matches!(close, Some(ControlEvent::CloseNow)));
    }

    #[tokio::test(start_paused = true)]
    async fn each_event_wakes_the_session() {
        let (shutdown, (sender, receiver)) = (Shutdown::new(Duration::ZERO), watch::channel(None));
        let mut events = control_events(&shutdown, receiver);
        assert!(matches!(events.next(true).await, ControlEvent::Timer));
        events.set_timer(Instant::now() + TIMER * 100);
        assert!(ready_event(&mut events, true).is_none());
        // Earlier than it was set to.
        let start = Instant::now();
        events.set_timer(start + TIMER);
        assert!(matches!(events.next(true).await, ControlEvent::Timer));
        assert!(start.elapsed() < TIMER * 2);
        let disconnect = async { sender.send(disconnected()).unwrap() };
        let (change, ()) = tokio::join!(events.next(true), disconnect);
        assert!(matches!(change, ControlEvent::Availability(Some(_))));
        let begin_shutdown = async { assert!(shutdown.begin(1)) };
        let (close, ()) = tokio::join!(events.next(true), begin_shutdown);
        assert!(matches!(close, ControlEvent::CloseNow));
    }
}
