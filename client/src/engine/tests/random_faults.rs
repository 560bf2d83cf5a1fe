//! Random faults in virtual time, against a model of two servers in front of one backend: no entry
//! is lost or stuck, none is stored or delivered twice, and deliveries are counted right.
//!
//! Each seed has other habits: whether the owner of the consumer reads and claims too, how often
//! connections are lost, how much a server takes in. Once the faults end, the owner does nothing
//! more that could find entries by chance, except that it claims what crashed consumers hold.

use std::collections::{BTreeMap, BTreeSet};

use streamgate_protocol::message::{Credit, Hello, Subscription, TailStart};
use streamgate_protocol::{Claimed, ConsumeOptions};

use super::*;
use session::{SILENCE_MS, Session};
use store::{ModelStore, Owner, id, is_too_large, place};

mod session;
mod store;

/// The number of random sequences. A failure names its seed.
const SEEDS: u64 = 2_000;

const STEPS: usize = 150;

const TAIL: u64 = 1;
const CONSUMER: u64 = 2;

/// How long messages of a lost connection may still travel to the server.
const MAX_DELAY_MS: u64 = 300;

struct World {
    seed: u64,
    test: TestEngine,
    store: ModelStore,
    /// The session of the client's connection.
    session: Option<Session>,
    /// Sessions that servers take for alive although their connection is lost, and until when
    /// messages may arrive.
    half_open: Vec<(Session, Millis)>,
    /// Requests of lost connections that a backend performs later.
    late: Vec<ClientMessage<'static>>,
    random: fastrand::Rng,
    next_id: u64,
    /// In the order in which they were admitted. Each stores its id.
    adds: Vec<u64>,
    /// The group reads and the claims. A claim whose reply is lost fails; its entries arrive.
    reads: BTreeSet<u64>,
    claims: BTreeSet<u64>,
    /// The request that acknowledges each entry.
    acked: BTreeMap<usize, u64>,
    habits: Habits,
}

#[derive(Clone, Copy)]
struct Habits {
    /// Whether the consumer reclaims entries of crashed ones.
    reclaims: bool,
    /// Whether its owner also reads the group, and claims entries of crashed consumers.
    reads: bool,
    claims: bool,
    /// Whether connections mostly outlive the late recovery.
    is_calm: bool,
    max_in_flight: u32,
    /// Whether late recoveries fail for longer than a request is retried.
    has_outage: bool,
}

impl Habits {
    fn new(random: &mut fastrand::Rng) -> Self {
        Self {
            reclaims: random.bool(),
            reads: random.bool(),
            claims: random.bool(),
            is_calm: random.bool(),
            max_in_flight: [1_000, 5][random.usize(..2)],
            has_outage: random.u8(..8) == 0,
        }
    }
}

fn client_id_of(seed: u64) -> ClientId {
    let mut bits = [0; 16];
    bits[..8].copy_from_slice(&seed.to_le_bytes());
    ClientId::from_random(bits)
}

impl World {
    fn new(seed: u64) -> Self {
        let config = ClientConfig {
            credit_entries: 8,
            backoff_first_ms: 50,
            backoff_max_ms: 200,
            retry_first_connect: true,
            ..ClientConfig::default()
        };
        let mut random = fastrand::Rng::with_seed(seed);
        let habits = Habits::new(&mut random);
        let mut test = TestEngine::of(&client_id_of(seed), config);
        // Younger or older than the time-out of requests.
        let now = random.u64(..2) * 40_000;
        test.now = now;
        let from = TailStart::Beginning {};
        let stream = "s".into();
        test.engine
            .subscribe(TAIL, Subscription::Tail { stream, from }, now);
        let mut options = ConsumeOptions::default().batch(4);
        if habits.reclaims {
            options = options.claim_after_ms(5);
        }
        let consume = Subscription::consume("s", "g", "c", options);
        test.engine.subscribe(CONSUMER, consume, now);
        let mut world = Self {
            seed,
            test,
            store: ModelStore::default(),
            session: None,
            half_open: Vec::new(),
            late: Vec::new(),
            random,
            next_id: CONSUMER,
            adds: Vec::new(),
            reads: BTreeSet::new(),
            claims: BTreeSet::new(),
            acked: BTreeMap::new(),
            habits,
        };
        world.connect();
        world.transmit();
        world
    }

    fn step(&mut self, faults: bool) {
        match self.random.u8(..100) {
            0..30 => self.add(),
            30..35 if self.habits.reads => self.read(),
            35..41 => self.acknowledge(),
            41 if self.habits.claims => self.claim(),
            42..50 => self.take(),
            50..75 => self.serve(faults),
            75..90 => self.deliver(),
            90..93 if faults && self.may_cut() => self.cut(),
            93..96 if faults && self.may_cut() => self.cut_unnoticed(),
            96..98 if faults => self.late(),
            // It crashes: a reclaiming consumer, or a claim, gets what it holds.
            98 if faults && (self.habits.reclaims || self.habits.claims) => {
                let count = self.random.u64(1..4);
                self.store.deliver_next(Owner::Crashed, count);
            }
            _ => {}
        }
        let longest = if self.habits.is_calm { 150 } else { 60 };
        let ms = self.random.u64(..longest);
        self.advance(ms);
    }

    fn may_cut(&mut self) -> bool {
        !self.habits.is_calm || self.random.u8(..8) == 0
    }

    fn advance(&mut self, ms: u64) {
        self.test.advance(ms);
        if self.test.actions.contains(&SocketAction::Abandon) {
            // The engine gave the connection up; the server does not know.
            self.abandon();
        }
        self.connect();
        self.transmit();
    }

    fn add(&mut self) {
        let mut calls = vec![self.next_id()];
        if self.random.u8(..4) == 0 {
            // Of concurrent callers, the one with the smaller id comes later.
            calls.insert(0, self.next_id());
        }
        for call in calls {
            self.adds.push(call);
            self.test.request(call, add(&call.to_string()));
        }
    }

    fn claim(&mut self) {
        let call = self.next_id();
        self.reads.insert(call);
        self.claims.insert(call);
        let claim = Operation::Claim {
            stream: "s".into(),
            group: "g".into(),
            consumer: "c".into(),
            min_idle_ms: 5,
            start: "0-0".into(),
            count: self.random.u64(1..8),
        };
        self.test.request(call, claim);
    }

    fn read(&mut self) {
        let call = self.next_id();
        self.reads.insert(call);
        // Endless waits would leave no room for anything else.
        let waits = if self.habits.max_in_flight < 1_000 {
            2
        } else {
            3
        };
        let read = Operation::ReadGroup {
            stream: "s".into(),
            group: "g".into(),
            consumer: "c".into(),
            count: self.random.u64(..4),
            block_ms: [None, Some(100), Some(0)][self.random.usize(..waits)],
        };
        self.test.request(call, read);
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Returns the entries that the owner of the consumer received.
    fn delivered(&self) -> Vec<usize> {
        let pushed = self.test.pushed.iter().filter(|(of, _)| *of == CONSUMER);
        let pushed = pushed.flat_map(|(_, item)| match item {
            Item::Entries { entries, .. } => entries.clone(),
            Item::Skipped(_) => vec![],
            other => panic!("not entries: {other:?}"),
        });
        let results = self.test.finished.iter();
        let read = results.filter_map(|(of, result)| match result {
            Ok(Reply::Entries { entries, .. } | Reply::Claimed(Claimed { entries, .. }))
                if self.reads.contains(of) =>
            {
                Some(entries.clone())
            }
            _ => None,
        });
        let delivered = pushed.chain(read.flatten());
        delivered.map(|entry| place(&entry.id)).collect()
    }

    /// Returns how often the owner of the consumer heard of entries that are too large: through
    /// pushes and reads, and through claims.
    fn heard_of_too_large(&self) -> (usize, usize) {
        let pushed = self.test.pushed.iter();
        let skipped =
            pushed.filter(|(of, item)| *of == CONSUMER && matches!(item, Item::Skipped(_)));
        let failed = self.test.finished.iter().filter(|(of, result)| {
            let error = result.as_ref().err().map(CacheError::code);
            self.reads.contains(of) && error == Some(code::LIMIT)
        });
        let (claims, reads): (Vec<_>, Vec<_>) =
            failed.partition(|(of, _)| self.claims.contains(of));
        (skipped.count() + reads.len(), claims.len())
    }

    fn acknowledge(&mut self) {
        let delivered = self.delivered();
        let open = delivered
            .into_iter()
            .find(|at| !self.acked.contains_key(at));
        if let Some(at) = open {
            let call = self.next_id();
            self.acked.insert(at, call);
            let ack = Operation::Ack {
                stream: "s".into(),
                group: "g".into(),
                ids: vec![id(at).into()],
            };
            self.test.request(call, ack);
        }
    }

    /// Lets the owner take everything.
    fn take(&mut self) {
        for of in [TAIL, CONSUMER] {
            let all = Credit {
                entries: 1_000,
                bytes: 1 << 30,
            };
            self.test.engine.consumed(of, all);
        }
    }

    fn transmit(&mut self) {
        let now = self.test.now;
        while let Some(frame) = self.test.engine.poll_transmit(now) {
            let messages = Encoding::Binary.messages::<ClientMessage<'_>>(&frame);
            let session = self.session.as_mut().expect("a connection");
            let messages = messages.map(|message| match message.unwrap() {
                ClientMessage::Hello(hello) => {
                    assert_eq!(&*hello.client, client_id_of(self.seed).text());
                    ClientMessage::Hello(Hello::new("c", hello.max_frame_bytes))
                }
                message => owned(message),
            });
            session.upstream.extend(messages);
        }
        self.test.collect();
    }

    /// Lets the servers handle the next messages, and deliver what there is. Sessions of lost
    /// connections are served first.
    fn serve(&mut self, faults: bool) {
        let (store, random, now) = (&mut self.store, &mut self.random, self.test.now);
        for (session, until) in &mut self.half_open {
            if now < *until {
                session.handle_next(store, random, false, now);
            }
            session.deliver(store, random, now);
        }
        self.half_open
            .retain(|(session, _)| now < session.last_heard + SILENCE_MS);
        let Some(session) = &mut self.session else {
            return;
        };
        for _ in 0..if self.habits.is_calm { 3 } else { 1 } {
            if session.handle_next(store, random, faults, now) {
                // The hello ends the client's other sessions at this server.
                let server = session.server;
                self.half_open.retain(|(other, _)| other.server != server);
            }
        }
        if faults {
            session.lose_backend(store, random);
        }
        session.deliver(store, random, now);
    }

    fn deliver(&mut self) {
        for _ in 0..self.random.usize(1..6) {
            let next = self
                .session
                .as_mut()
                .and_then(|session| session.downstream.pop_front());
            if let Some(message) = next {
                self.test.receive(&message);
            }
        }
    }

    /// Cuts the connection, and the server notices. Requests on their way are lost, or performed
    /// much later.
    fn cut(&mut self) {
        if let Some(session) = self.session.take() {
            self.perform_late(session);
            let code = [1001, 1006][self.random.usize(..2)];
            self.test.lose_connection(code);
        }
    }

    /// Cuts the connection, and the server does not notice.
    fn cut_unnoticed(&mut self) {
        if self.session.is_some() {
            self.abandon();
            self.test.lose_connection(1006);
        }
    }

    fn abandon(&mut self) {
        if let Some(mut session) = self.session.take() {
            let arriving = self.random.usize(..=session.upstream.len());
            session.upstream.truncate(arriving);
            let until = self.test.now + MAX_DELAY_MS;
            self.half_open.push((session, until));
        }
    }

    fn perform_late(&mut self, session: Session) {
        let requests = session.upstream.into_iter();
        let late = requests.filter(|message| matches!(message, ClientMessage::Request { .. }));
        let kept = self.random.usize(..4);
        self.late.extend(late.take(kept));
    }

    fn late(&mut self) {
        if !self.late.is_empty()
            && let ClientMessage::Request { operation, .. } = self.late.remove(0)
            && matches!(
                operation,
                Operation::IdempotentAdd { .. } | Operation::Ack { .. }
            )
        {
            let _ = self.store.perform(operation, 1);
        }
    }

    fn connect(&mut self) {
        if self.session.is_none() && self.test.actions.last() == Some(&SocketAction::Connect) {
            let now = self.test.now;
            let server = self.random.usize(..2);
            self.session = Some(Session::new(server, self.habits.max_in_flight, now));
            self.test.engine.handle_opened("streamgate.v1.bin", now);
            self.test.collect();
        }
        self.test.actions.clear();
    }

    /// Lets everything work again, and the owner take everything. It takes longer than two default
    /// heartbeats, which count where a connection was lost before its welcome.
    fn settle(&mut self) {
        let mut turns = 600;
        if self.habits.has_outage {
            self.store.outage_ends_at = self.test.now + 33_000;
            turns = 750;
        }
        for turn in 0..turns {
            if turn % 30 == 0 && self.habits.claims && self.store.any_crashed() {
                self.claim();
            }
            self.take();
            for _ in 0..4 {
                self.serve(false);
                self.deliver();
            }
            self.advance(60);
        }
    }

    fn check(&mut self) {
        self.check_adds();
        let added = &self.store.entries;
        let tail = self.test.pushed.iter().filter(|(of, _)| *of == TAIL);
        let tail = tail.flat_map(|(_, item)| match item {
            Item::Entries { entries, .. } => entries.iter().map(|entry| place(&entry.id)).collect(),
            Item::Skipped(skipped) => vec![place(&skipped.id)],
            _ => vec![],
        });
        assert_eq!(
            tail.collect::<Vec<_>>(),
            (1..=added.len()).collect::<Vec<_>>()
        );
        let mut delivered = self.delivered();
        delivered.sort_unstable();
        let too_large = |at: &usize| is_too_large(added[at - 1]);
        let carried: Vec<_> = (1..=added.len()).filter(|at| !too_large(at)).collect();
        assert_eq!(delivered, carried, "each once to the group");
        let too_large = added.len() - carried.len();
        let (heard, by_claims) = self.heard_of_too_large();
        // A recovery may find one that a claim in flight has met: its reply can be nothing else.
        assert!(
            (heard..=heard + by_claims).contains(&too_large),
            "{too_large} are too large; {heard} heard of, and {by_claims} through claims"
        );
        self.store.check_deliveries();
        for (at, call) in &self.acked {
            let ended = self.test.finished.iter().find(|(of, _)| of == call);
            let is_done = ended.is_some_and(|(_, result)| result.is_ok());
            assert_eq!(
                !self.store.is_pending(*at),
                is_done,
                "{at}: its acknowledgement ended with {ended:?}"
            );
        }
    }

    fn check_adds(&self) {
        let mut order = 0;
        for call in &self.adds {
            let results = self.test.finished.iter().filter(|(of, _)| of == call);
            let results: Vec<_> = results.collect();
            assert_eq!(results.len(), 1, "the results of add {call}");
            let places = (1..)
                .zip(&self.store.entries)
                .filter(|(_, value)| *value == call);
            let places: Vec<_> = places.map(|(at, _)| at).collect();
            match &results[0].1 {
                Ok(Reply::Added { id }) => {
                    assert_eq!(places, [place(id)], "add {call}");
                    assert!(places[0] > order, "add {call} is out of order");
                    order = places[0];
                }
                Err(error) if error.code() == "UNKNOWN_OUTCOME" => assert!(places.len() <= 1),
                Err(_) => assert!(places.is_empty(), "add {call} failed"),
                other => panic!("{other:?}"),
            }
        }
    }

    fn unknown_outcomes(&self) -> usize {
        let is_unknown = |(of, result): &&(u64, CacheResult<Reply>)| {
            let error = result.as_ref().err().map(CacheError::code);
            error == Some("UNKNOWN_OUTCOME") && !self.claims.contains(of)
        };
        self.test.finished.iter().filter(is_unknown).count()
    }
}

#[test]
fn nothing_is_lost_and_nothing_is_doubled() {
    let mut unknown = 0;
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step(true);
            }
            world.settle();
            world.check();
            world.unknown_outcomes()
        });
        match run {
            Ok(count) => unknown += count,
            Err(why) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(why);
            }
        }
    }
    assert_eq!(unknown, 0, "while there is a connection again in time");
}
