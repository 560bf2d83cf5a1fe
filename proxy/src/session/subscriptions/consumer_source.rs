//! A consumer of a group: the session reads the group for it, again and again, as far as its credit
//! goes.
//!
//! Reclaiming runs beside the reads. Both need credit: a consumer without credit reads nothing and
//! reclaims nothing, so others can.

use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_backend::consume::missing_group::MissingGroup;
use streamgate_backend::reclaim::schedule::ReclaimSchedule;
use streamgate_backend::reclaim::step::ReclaimStep;
use streamgate_backend::tail::page_size::PageSize;
use streamgate_backend::{Backend, CancelOnDrop, Cancellation, PerformOptions, Segment, TailEvent};
use streamgate_protocol::message::Credit;
use streamgate_protocol::{Bytes, CacheError, CacheResult, Entry, Operation, Skipped};

use super::group_reading::GroupReading;
use crate::rights::Terms;
use crate::session::backpressure::{Backpressure, BufferedBytesGuard};

/// What the session reads for a consumer.
pub(super) struct GroupRead {
    pub(super) stream: Bytes<'static>,
    pub(super) group: Bytes<'static>,
    pub(super) consumer: Bytes<'static>,
    /// Entries of one push, at most, by the rights at its beginning.
    pub(super) batch: u64,
}

/// The entries of a consumer.
pub(super) struct ConsumerSource<'b> {
    backend: &'b dyn Backend,
    read: GroupRead,
    /// Entries of one push, at most, by the rights of now.
    max_push: u64,
    options: PerformOptions,
    /// The creation of the group under way. Nothing else is, meanwhile.
    creating: Option<BoxFuture<'b, CacheResult<MissingGroup>>>,
    /// Its end stops the creation before its next command.
    creation_wanted: Option<CancelOnDrop>,
    /// Absent if the group is not to be created, and while it is being created.
    missing_group: Option<MissingGroup>,
    reading: Option<GroupReading<'b>>,
    /// A read that waits keeps its place while reclaimed entries use its credit up. What it then
    /// returns is buffered.
    reclaim: Option<Box<ReclaimSchedule<'b>>>,
    /// Reclaimed entries that are too large, to be reported before the others.
    skipped: Vec<Skipped>,
    /// Entries of the consumer for which it lacked credit: the size of entries is known only after
    /// they are read.
    buffered: Vec<Entry>,
    /// Whether the buffered entries were reclaimed, so that they do not move the position.
    is_buffer_reclaimed: bool,
    _buffered_bytes: Option<BufferedBytesGuard>,
    backpressure: Backpressure,
    /// The session holds entries until they are sent, so it reads no more than a page at once,
    /// however large a batch may be.
    page_size: PageSize,
}

impl<'b> ConsumerSource<'b> {
    /// Asks the backend for nothing before the first poll. Reclaims if there is a first step.
    pub(super) fn new(
        backend: &'b dyn Backend,
        read: GroupRead,
        options: PerformOptions,
        first_reclaim: Option<ReclaimStep>,
        backpressure: Backpressure,
    ) -> Self {
        let reclaim = first_reclaim.map(|first| reclaim_schedule(backend, first, &backpressure));
        Self {
            backend,
            max_push: read.batch,
            read,
            options,
            creating: None,
            creation_wanted: None,
            missing_group: None,
            reading: None,
            reclaim: reclaim.map(Box::new),
            skipped: Vec::new(),
            buffered: Vec::new(),
            is_buffer_reclaimed: false,
            _buffered_bytes: None,
            backpressure,
            page_size: PageSize::new(),
        }
    }

    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        room: Credit,
    ) -> Poll<CacheResult<TailEvent>> {
        while self.buffered.is_empty() && self.skipped.is_empty() {
            if let Some(creating) = &mut self.creating {
                let missing_group = ready!(creating.poll_unpin(cx))?;
                let position = missing_group.position();
                (self.creating, self.missing_group) = (None, Some(missing_group));
                if let Some(position) = position {
                    let segment = Segment::position_only(position);
                    return Poll::Ready(Ok(TailEvent::Segment(segment)));
                }
            }
            // Reclaimed entries come first: a scan ends, while a busy stream may never run dry.
            let count = self.count_within(room);
            let reclaim_room = Credit {
                entries: count,
                ..room
            };
            if let Some(reclaim) = &mut self.reclaim
                && let Poll::Ready(reclaimed) = reclaim.poll_next(cx, reclaim_room)
            {
                match reclaimed {
                    Ok(reclaimed) => {
                        (self.buffered, self.skipped) = (reclaimed.entries, reclaimed.skipped);
                        self.is_buffer_reclaimed = true;
                    }
                    Err(error) => self.recreate_group(error)?,
                }
                self.page_size.observe(&self.buffered);
                continue;
            }
            if self.reading.is_none() {
                if room.is_used_up() {
                    // A grant polls again.
                    return Poll::Pending;
                }
                self.start_read(count);
            }
            let Some(reading) = &mut self.reading else {
                return Poll::Pending;
            };
            let entries = ready!(reading.poll(cx));
            self.reading = None;
            match entries {
                Ok(entries) => {
                    self.buffered = entries;
                    self.is_buffer_reclaimed = false;
                }
                Err(error) => self.recreate_group(error)?,
            }
            if let Some(missing_group) = &mut self.missing_group {
                missing_group.record(&self.buffered);
            }
            self.page_size.observe(&self.buffered);
        }
        if !self.skipped.is_empty() && !room.is_used_up() {
            let skipped = Box::new(self.skipped.remove(0));
            return Poll::Ready(Ok(TailEvent::Skipped(skipped)));
        }
        let room = Credit {
            entries: room.entries.min(self.max_push),
            ..room
        };
        let fitting = room.fitting(&self.buffered);
        if fitting == 0 {
            return Poll::Pending;
        }
        let rest = self.buffered.split_off(fitting);
        let bytes = Credit::of(&rest).bytes;
        self._buffered_bytes = (bytes > 0).then(|| self.backpressure.buffer(bytes));
        let entries = std::mem::replace(&mut self.buffered, rest);
        let group = self.missing_group.as_ref();
        let position = group
            .filter(|_| self.is_buffer_reclaimed)
            .and_then(MissingGroup::position);
        let segment = Segment::with_position(entries, position);
        Poll::Ready(Ok(TailEvent::Segment(segment)))
    }

    /// Sets the terms of the rights by which it goes on. What a read under way returns is pushed in
    /// pieces that obey them.
    pub(super) fn set_terms(&mut self, terms: &Terms) {
        self.max_push = terms.batch(self.read.batch);
        if let Some(reclaim) = &mut self.reclaim {
            reclaim.set_dead_letter_maxlen(terms.dead_letter_maxlen());
        }
    }

    /// Creates the group, and creates it again whenever it is missing.
    pub(super) fn create_group(&mut self, missing_group: MissingGroup) {
        let (backend, pending_reply) = (self.backend, self.backpressure.expect_reply());
        let (still_wanted, cancellation) = Cancellation::new();
        self.creation_wanted = Some(still_wanted);
        self.creating = Some(
            async move {
                let created = missing_group.create_unless(backend, cancellation).await;
                drop(pending_reply);
                created
            }
            .boxed(),
        );
    }

    /// Starts to create the group if an error says that it is missing. Returns any other error.
    fn recreate_group(&mut self, error: CacheError) -> CacheResult<()> {
        match self.missing_group.take() {
            Some(missing_group) if MissingGroup::is_missing(&error) => {
                self.create_group(missing_group);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Returns how many entries to ask for: as many as probably fit, and none without credit.
    fn count_within(&self, room: Credit) -> u64 {
        if room.is_used_up() {
            return 0;
        }
        if self.backpressure.is_buffer_full() {
            return 1;
        }
        self.page_size.within(Credit {
            entries: room.entries.min(self.max_push),
            ..room
        })
    }

    fn start_read(&mut self, count: u64) {
        let operation = Operation::ReadGroup {
            stream: self.read.stream.clone(),
            group: self.read.group.clone(),
            consumer: self.read.consumer.clone(),
            count,
            block_ms: Some(0),
        };
        let (options, pending_reply) = (self.options.clone(), self.backpressure.expect_reply());
        let reading = GroupReading::start(self.backend, operation, options, pending_reply);
        self.reading = Some(reading);
    }

    /// Asks the backend for nothing more, and leaves the group's queue. Returns whether the backend
    /// owes a reply.
    pub(super) fn stop(&mut self) -> bool {
        (self.buffered, self.skipped) = (Vec::new(), Vec::new());
        (self.missing_group, self._buffered_bytes) = (None, None);
        self.creation_wanted = None;
        if self.reading.as_mut().is_some_and(|reading| !reading.stop()) {
            self.reading = None;
        }
        if self.reclaim.as_ref().is_some_and(|it| !it.is_in_step()) {
            self.reclaim = None;
        }
        self.creating.is_some() || self.reading.is_some() || self.reclaim.is_some()
    }

    /// Polls until the backend owes no reply. What it returns is dropped: entries stay pending.
    pub(super) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(creating) = &mut self.creating {
            // Nobody waits for the group, so its error has no owner.
            let _ = ready!(creating.poll_unpin(cx));
            self.creating = None;
        }
        if let Some(reading) = &mut self.reading {
            ready!(reading.poll_reply(cx));
            self.reading = None;
        }
        if let Some(reclaim) = &mut self.reclaim {
            ready!(reclaim.poll_step(cx));
            self.reclaim = None;
        }
        Poll::Ready(())
    }
}

fn reclaim_schedule<'b>(
    backend: &'b dyn Backend,
    first: ReclaimStep,
    backpressure: &Backpressure,
) -> ReclaimSchedule<'b> {
    let backpressure = backpressure.clone();
    ReclaimSchedule::new(first, move |step| {
        let (reclaiming, pending_reply) = (backend.reclaim(step), backpressure.expect_reply());
        async move {
            let reclaimed = reclaiming.await;
            drop(pending_reply);
            reclaimed
        }
        .boxed()
    })
}
