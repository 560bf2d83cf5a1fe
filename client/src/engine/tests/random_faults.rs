//! Random faults in virtual time, against a model of a server: no entry is lost, none is stored or
//! delivered twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use streamgate_protocol::StreamEntry;
use streamgate_protocol::limits::ADDS_REMEMBERED;
use streamgate_protocol::message::{Credit, Subscription, TailStart};

use super::*;

/// The number of random sequences. A failure names its seed.
const SEEDS: u64 = 2_000;

const STEPS: usize = 120;

/// The model of the backend, which outlives every connection.
#[derive(Default)]
struct ModelStore {
    /// The values of the entries. An entry's id is its index, starting with 1.
    entries: Vec<u64>,
    producers: BTreeMap<String, (u64, BTreeMap<u64, usize>)>,
    given: usize,
    pending: BTreeSet<usize>,
}

/// One connection, with the messages on their way in both directions.
#[derive(Default)]
struct ModelConnection {
    upstream: VecDeque<ClientMessage<'static>>,
    downstream: VecDeque<ServerMessage>,
    /// The id, position and credit of the tail; below, the id and credit of the consumer.
    tail: Option<(u64, usize, u64)>,
    consumer: Option<(u64, u64)>,
}

struct World {
    test: TestEngine,
    store: ModelStore,
    connection: Option<ModelConnection>,
    /// Requests of lost connections that the server performs later.
    late: Vec<ClientMessage<'static>>,
    random: fastrand::Rng,
    next_id: u64,
    adds: BTreeMap<u64, u64>,
    reads: BTreeSet<u64>,
    /// The request that acknowledges each entry.
    acked: BTreeMap<usize, u64>,
}

fn id(place: usize) -> String {
    format!("{place}-0")
}

fn error(code: &str) -> Outcome {
    Outcome::Error((&CacheError::from_code(code, "why")).into())
}

fn place(id: &str) -> usize {
    id.split('-').next().unwrap().parse().unwrap()
}

impl ModelStore {
    fn entry(&self, at: usize) -> StreamEntry {
        let value = self.entries[at - 1].to_string();
        (id(at), vec![("n".to_owned(), value)])
    }

    fn deliver_next(&mut self, count: u64) -> Vec<StreamEntry> {
        let mut entries = Vec::new();
        while self.given < self.entries.len() && (entries.len() as u64) < count {
            self.given += 1;
            self.pending.insert(self.given);
            entries.push(self.entry(self.given));
        }
        entries
    }

    fn perform(&mut self, operation: Operation<'_>) -> Result<Option<Reply>, &'static str> {
        let entries = |entries| Reply::entries(entries);
        Ok(Some(match operation {
            Operation::IdempotentAdd {
                fields,
                producer,
                number,
                after,
                ..
            } => {
                let known = self.producers.get(&*producer);
                let (last, ids) = known.cloned().unwrap_or_default();
                let added = if after > last {
                    return Err(code::OUT_OF_ORDER);
                } else if number > last {
                    self.entries.push(fields[0].1.parse().unwrap());
                    let added = self.entries.len();
                    let known = self.producers.entry(producer.to_string()).or_default();
                    known.0 = number;
                    known.1.insert(number, added);
                    added
                } else if last - number >= ADDS_REMEMBERED {
                    return Err(code::FORGOTTEN);
                } else {
                    *ids.get(&number).ok_or(code::SKIPPED)?
                };
                Reply::Added { id: id(added) }
            }
            Operation::ReadGroup { count, .. } => match self.deliver_next(count) {
                given if given.is_empty() => return Ok(None),
                given => entries(given),
            },
            Operation::ReadPending { after, count, .. } => {
                let behind = self.pending.range(place(&after) + 1..);
                entries(
                    behind
                        .take(count as usize)
                        .map(|at| self.entry(*at))
                        .collect(),
                )
            }
            Operation::Ack { ids, .. } => {
                let acked = ids.iter().filter(|id| self.pending.remove(&place(id)));
                let count = acked.count() as u64;
                Reply::Acknowledged { count }
            }
            other => panic!("{other:?}"),
        }))
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut bits = [0; 16];
        bits[..8].copy_from_slice(&seed.to_le_bytes());
        let identity = Identity::from_random(bits);
        let config = ClientConfig {
            credit_entries: 8,
            backoff_first_ms: 50,
            backoff_max_ms: 200,
            queue_timeout_ms: 60_000,
            ..ClientConfig::default()
        };
        let mut test = TestEngine::of(&identity, config);
        let stream = || "s".into();
        test.accept();
        test.actions.clear();
        let from = TailStart::Beginning {};
        test.engine.subscribe(
            1,
            Subscription::Tail {
                stream: stream(),
                from,
            },
            0,
        );
        test.engine.subscribe(
            2,
            Subscription::Consume {
                stream: stream(),
                group: "g".into(),
                consumer: "c".into(),
                batch: 4,
                claim_after_ms: None,
                max_deliveries: None,
                dead_letter: None,
                resumed: None,
                create_from: None,
            },
            0,
        );
        let mut world = Self {
            test,
            store: ModelStore::default(),
            connection: Some(ModelConnection::default()),
            late: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
            next_id: 3,
            adds: BTreeMap::new(),
            reads: BTreeSet::new(),
            acked: BTreeMap::new(),
        };
        world.transmit();
        world
    }

    fn step(&mut self, faults: bool) {
        match self.random.u8(..100) {
            0..30 => {
                let call = self.next_id();
                self.adds.insert(call, call);
                self.test.request(call, add(&call.to_string()));
            }
            30..36 => self.read(),
            36..42 => self.acknowledge(),
            42..48 => self.take(),
            48..75 => self.serve(faults),
            75..92 => self.deliver(),
            92..96 if faults => self.cut(),
            96.. if faults => self.late(),
            _ => {}
        }
        self.test.advance(self.random.u64(..20));
        self.connect();
        self.transmit();
    }

    fn read(&mut self) {
        let call = self.next_id();
        self.reads.insert(call);
        let read = Operation::ReadGroup {
            stream: "s".into(),
            group: "g".into(),
            consumer: "c".into(),
            count: self.random.u64(1..4),
            block_ms: None,
        };
        self.test.request(call, read);
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn delivered(&self) -> Vec<usize> {
        let pushed = self.test.pushed.iter().filter(|(of, _)| *of == 2);
        let pushed = pushed.flat_map(|(_, item)| match item {
            Item::Entries { entries, .. } => entries.clone(),
            other => panic!("not entries: {other:?}"),
        });
        let read = self
            .test
            .finished
            .iter()
            .filter_map(|(of, result)| match result {
                Ok(Reply::Entries { entries, .. }) if self.reads.contains(of) => {
                    Some(entries.clone())
                }
                _ => None,
            });
        pushed
            .chain(read.flatten())
            .map(|(id, _)| place(&id))
            .collect()
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
        for of in [1, 2] {
            let all = Credit {
                entries: 1_000,
                bytes: 1 << 30,
            };
            self.test.engine.consumed(of, all);
        }
    }

    fn transmit(&mut self) {
        let sent = self.test.sent().concat();
        if let Some(connection) = &mut self.connection {
            connection.upstream.extend(sent);
        } else {
            assert!(sent.is_empty());
        }
    }

    /// Lets the server handle the next message, or lose its backend meanwhile.
    fn serve(&mut self, faults: bool) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        match connection.upstream.pop_front() {
            Some(ClientMessage::Request { id: of, operation }) => {
                let outcome = match self.random.u8(..20) {
                    0 if faults => Err("DISCONNECTED"),
                    1 if faults && !operation.is_read_only() => {
                        if self.random.bool() {
                            let _ = self.store.perform(operation);
                        }
                        Err("UNKNOWN_OUTCOME")
                    }
                    _ => self.store.perform(operation),
                };
                let outcome = match outcome {
                    Ok(Some(reply)) => Outcome::Ok(reply),
                    Ok(None) => Outcome::Ok(Reply::entries(vec![])),
                    Err(code) => error(code),
                };
                connection
                    .downstream
                    .push_back(ServerMessage::Reply { id: of, outcome });
            }
            Some(ClientMessage::Subscribe { id: of, .. }) if faults && self.random.u8(..8) == 0 => {
                let outcome = error("LOADING");
                connection
                    .downstream
                    .push_back(ServerMessage::Reply { id: of, outcome });
            }
            Some(ClientMessage::Subscribe {
                id: of,
                subscription,
                credit,
            }) => match subscription {
                Subscription::Tail { from, .. } => {
                    let at = match from {
                        TailStart::After { id } => place(&id),
                        _ => 0,
                    };
                    connection.tail = Some((of, at, credit.entries));
                    let item = Item::Entries {
                        entries: vec![],
                        position: Some(id(at)),
                    };
                    connection
                        .downstream
                        .push_back(ServerMessage::Push { id: of, item });
                }
                Subscription::Consume { .. } => connection.consumer = Some((of, credit.entries)),
                other => panic!("unknown subscription {other:?}"),
            },
            Some(ClientMessage::Grant { id: of, credit }) => {
                if let Some(tail) = connection.tail.as_mut().filter(|tail| tail.0 == of) {
                    tail.2 += credit.entries;
                } else if let Some(consumer) = connection
                    .consumer
                    .as_mut()
                    .filter(|consumer| consumer.0 == of)
                {
                    consumer.1 += credit.entries;
                }
            }
            Some(ClientMessage::Ping { nonce }) => {
                connection
                    .downstream
                    .push_back(ServerMessage::Pong { nonce });
            }
            _ => {}
        }
        if faults {
            self.end_subscriptions();
        }
        let Some(connection) = &mut self.connection else {
            return;
        };
        if let Some((of, at, left)) = &mut connection.tail
            && *at < self.store.entries.len()
            && *left > 0
        {
            *at += 1;
            *left -= 1;
            let entries = vec![self.store.entry(*at)];
            let item = Item::Entries {
                entries,
                position: None,
            };
            connection
                .downstream
                .push_back(ServerMessage::Push { id: *of, item });
        }
        if let Some((of, left)) = &mut connection.consumer {
            let entries = self.store.deliver_next((*left).min(4));
            if !entries.is_empty() {
                *left -= entries.len() as u64;
                let item = Item::Entries {
                    entries,
                    position: None,
                };
                connection
                    .downstream
                    .push_back(ServerMessage::Push { id: *of, item });
            }
        }
    }

    /// Lets the server lose its backend while it has subscriptions, and perhaps a delivery.
    fn end_subscriptions(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let (tail, consumer) = match self.random.u8(..40) {
            0 => (connection.tail.take().map(|tail| tail.0), None),
            1 | 2 => (None, connection.consumer.take()),
            _ => return,
        };
        let code = match consumer {
            Some((_, left)) if self.random.bool() => {
                if self.random.bool() {
                    self.store.deliver_next(left.min(4));
                }
                "UNKNOWN_OUTCOME"
            }
            _ => "DISCONNECTED",
        };
        if let Some(of) = tail.or(consumer.map(|consumer| consumer.0)) {
            let outcome = error(code);
            connection
                .downstream
                .push_back(ServerMessage::Reply { id: of, outcome });
        }
    }

    fn deliver(&mut self) {
        for _ in 0..self.random.usize(1..6) {
            let next = self
                .connection
                .as_mut()
                .and_then(|c| c.downstream.pop_front());
            if let Some(message) = next {
                self.test.receive(&message);
            }
        }
    }

    /// Cuts the connection: requests on their way are lost, or performed much later.
    fn cut(&mut self) {
        if let Some(connection) = self.connection.take() {
            let requests = connection.upstream.into_iter();
            let late = requests.filter(|message| matches!(message, ClientMessage::Request { .. }));
            let kept = self.random.usize(..4);
            self.late.extend(late.take(kept));
            self.test.lose_connection(1006);
        }
    }

    fn late(&mut self) {
        if !self.late.is_empty()
            && let ClientMessage::Request { operation, .. } = self.late.remove(0)
            && matches!(
                operation,
                Operation::IdempotentAdd { .. } | Operation::Ack { .. }
            )
        {
            let _ = self.store.perform(operation);
        }
    }

    fn connect(&mut self) {
        if self.connection.is_none() && self.test.actions.last() == Some(&SocketAction::Connect) {
            self.test.actions.clear();
            self.connection = Some(ModelConnection::default());
            self.test.accept();
        }
    }

    fn check(&mut self) {
        let (added, order) = (&self.store.entries, &mut 0);
        for (call, value) in &self.adds {
            let results: Vec<_> = self
                .test
                .finished
                .iter()
                .filter(|(of, _)| of == call)
                .collect();
            assert_eq!(results.len(), 1, "the results of add {call}");
            let places: Vec<_> = (1..)
                .zip(added)
                .filter(|(_, v)| *v == value)
                .map(|(at, _)| at)
                .collect();
            match &results[0].1 {
                Ok(Reply::Added { id }) => {
                    assert_eq!(places, [place(id)], "add {call}");
                    assert!(places[0] > *order, "add {call} is out of order");
                    *order = places[0];
                }
                Err(error) if error.code() == "UNKNOWN_OUTCOME" => assert!(places.len() <= 1),
                Err(_) => assert!(places.is_empty(), "add {call} failed"),
                other => panic!("{other:?}"),
            }
        }
        let tail = self.test.pushed.iter().filter(|(of, _)| *of == 1);
        let tail = tail.flat_map(|(_, item)| match item {
            Item::Entries { entries, .. } => entries.iter().map(|(id, _)| place(id)).collect(),
            _ => vec![],
        });
        assert_eq!(
            tail.collect::<Vec<_>>(),
            (1..=added.len()).collect::<Vec<_>>()
        );
        let mut delivered = self.delivered();
        delivered.sort_unstable();
        assert_eq!(
            delivered,
            (1..=added.len()).collect::<Vec<_>>(),
            "each once to the group"
        );
        for (at, call) in &self.acked {
            let ended = self.test.finished.iter().find(|(of, _)| of == call);
            let is_done = ended.is_some_and(|(_, result)| result.is_ok());
            assert_eq!(
                !self.store.pending.contains(at),
                is_done,
                "{at}: its acknowledgement ended with {ended:?}"
            );
        }
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
            // Everything works again, and the owner takes everything.
            for turn in 0..2_000 {
                if turn % 100 == 0 {
                    world.read();
                }
                world.take();
                world.serve(false);
                world.deliver();
                world.test.advance(20);
                world.connect();
                world.transmit();
            }
            world.check();
            let results = world.test.finished.iter();
            results
                .filter(|(_, r)| r.as_ref().is_err_and(|e| e.code() == "UNKNOWN_OUTCOME"))
                .count()
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
