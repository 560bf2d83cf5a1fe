//! The rates of a socket, and of its subject.
//!
//! A client that is a little too fast waits: the session takes its request, and then reads nothing
//! until the request keeps to the rates. So clients that never stop sending see a slow server rather
//! than errors, and their requests keep their order. A request that would have to wait for longer is
//! refused.

use std::time::Duration;

use streamgate_protocol::Operation;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::rate_limits::{
    LimitKey, Limits, Measure, Rate, RateLimits, RequestBuckets, SubjectShare,
};
use crate::refusal::Refusal;

/// The longest pause: an owner hardly notices it.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// A pause that ends the turn. Those that are shorter grow first: to be woken for each request would
/// cost more than the request.
const LONG_PAUSE: Duration = Duration::from_millis(20);

/// What a refusal adds to the pause: otherwise a client could make refusals as fast as it likes.
const REFUSAL_PAUSE: Duration = Duration::from_millis(1);

/// What a session takes of its rates for each request.
pub(super) struct RequestLimits<'b> {
    changes: watch::Receiver<Option<Limits>>,
    /// Absent if nothing is limited.
    limits: Option<Limits>,
    all: &'b RateLimits,
    /// Pauses last no longer: the client must not take the server for dead.
    patience: Duration,
    own: RequestBuckets,
    /// Present once it is known whose socket this is.
    subject: Option<SubjectShare>,
    /// When this turn began.
    now: Instant,
    pause: Option<Pause>,
}

/// A request that comes too soon.
pub(super) struct TooSoon {
    pub(super) refusal: Refusal,
    /// The time after which it may succeed.
    pub(super) wait: Duration,
}

/// A time for which the session reads nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pause {
    pub(super) end: Instant,
    pub(super) of: Limited,
}

/// Whose rate is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Limited {
    Socket,
    Subject,
}

impl<'b> RequestLimits<'b> {
    pub(super) fn new(all: &'b RateLimits, heartbeat: Duration) -> Self {
        let mut changes = all.in_force();
        let limits = *changes.borrow_and_update();
        Self {
            changes,
            limits,
            all,
            patience: MAX_PAUSE.min(heartbeat / 2),
            own: RequestBuckets::default(),
            subject: None,
            now: Instant::now(),
            pause: None,
        }
    }

    /// Lets the socket count for a subject. Returns `false` if that has as many as it may.
    pub(super) fn join(&mut self, key: Option<LimitKey>) -> bool {
        let Some(key) = key else {
            return true;
        };
        self.subject = self.all.join(key);
        self.subject.is_some()
    }

    /// Begins a turn of the session.
    pub(super) fn begin_turn(&mut self) {
        // An error would mean that the server is gone.
        if self.changes.has_changed().unwrap_or_default() {
            self.limits = *self.changes.borrow_and_update();
        }
        if self.limits.is_some() {
            self.now = Instant::now();
        }
    }

    /// Takes a request of this size.
    ///
    /// # Errors
    ///
    /// The rate that is used up. Then less is taken than for a request.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), TooSoon> {
        let Some(limits) = self.limits else {
            return Ok(());
        };
        let (patience, now) = (self.patience, self.now);
        let rates = limits.per_socket.rates();
        let of_socket = self.own.take(bytes, rates, patience, now);
        self.record(Limited::Socket, of_socket)?;
        if let Some(subject) = &self.subject {
            let rates = limits.per_subject.rates();
            let of_subject = subject.used().requests.take(bytes, rates, patience, now);
            self.record(Limited::Subject, of_subject)?;
        }
        Ok(())
    }

    /// Takes a dedup window, if an operation may begin one: the first add of a producer does.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub(super) fn take_window(&mut self, operation: &Operation<'_>) -> Result<(), TooSoon> {
        if let (Some(limits), Some(subject)) = (&self.limits, &self.subject)
            && matches!(operation, Operation::IdempotentAdd { after: 0, .. })
        {
            let rate = Rate::of(limits.per_subject.new_windows_per_s);
            let refusal = Refusal::TooManyWindowsOfSubject;
            let taken = subject.used().new_windows.try_take(1, rate, self.now);
            return taken.map_err(|wait| TooSoon { refusal, wait });
        }
        Ok(())
    }

    /// Returns whether the pause is too long for more requests of this turn.
    pub(super) fn ends_turn(&self) -> bool {
        self.pause
            .is_some_and(|pause| pause.end >= self.now + LONG_PAUSE)
    }

    /// Returns how long the session must not read after this turn.
    pub(super) fn take_pause(&mut self) -> Option<Pause> {
        self.pause.take()
    }

    fn record(
        &mut self,
        of: Limited,
        taken: Result<Duration, (Measure, Duration)>,
    ) -> Result<(), TooSoon> {
        let (end, result) = match taken {
            Ok(Duration::ZERO) => return Ok(()),
            Ok(pause) => (self.now + pause, Ok(())),
            Err((measure, wait)) => {
                let refusal = refusal(of, measure);
                let before = self.pause.map_or(self.now, |pause| pause.end);
                (before + REFUSAL_PAUSE, Err(TooSoon { refusal, wait }))
            }
        };
        self.pause = self.pause.max(Some(Pause { end, of }));
        result
    }
}

fn refusal(of: Limited, measure: Measure) -> Refusal {
    match (of, measure) {
        (Limited::Socket, Measure::Requests) => Refusal::TooManyRequestsOfSocket,
        (Limited::Socket, Measure::Bytes) => Refusal::TooManyBytesOfSocket,
        (Limited::Subject, Measure::Requests) => Refusal::TooManyRequestsOfSubject,
        (Limited::Subject, Measure::Bytes) => Refusal::TooManyBytesOfSubject,
    }
}
