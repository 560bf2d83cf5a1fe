//! The model of a server's session: it goes on for as long as the server takes its client for alive.

use std::collections::VecDeque;

use streamgate_protocol::Skipped;
use streamgate_protocol::message::{Credit, Subscription, TailStart};

use super::store::{Answer, Carried, ModelStore, Owner, id, place};
use super::*;
use crate::engine::pending_request::is_background_id;

/// A server gives a silent client up after two heartbeats.
pub(super) const SILENCE_MS: u64 = 2 * 1_000;

pub(super) struct Session {
    /// Which server it is at.
    pub(super) server: usize,
    /// Messages on their way to the server.
    pub(super) upstream: VecDeque<ClientMessage<'static>>,
    /// Messages on their way to the client.
    pub(super) downstream: VecDeque<ServerMessage>,
    pub(super) last_heard: Millis,
    /// The id, position and credit of the tail.
    tail: Option<(u64, usize, u64)>,
    /// The id and credit of the consumer, and whether it reclaims.
    consumer: Option<(u64, u64, bool)>,
    /// Entries that the server took for the consumer, and that wait for credit in bytes.
    unpushed: Vec<usize>,
    max_in_flight: u32,
    /// The id, count and end of each group read that waits.
    waits: VecDeque<(u64, u64, Option<Millis>)>,
}

impl Session {
    pub(super) fn new(server: usize, max_in_flight: u32, now: Millis) -> Self {
        Self {
            server,
            upstream: VecDeque::new(),
            downstream: VecDeque::new(),
            last_heard: now,
            tail: None,
            consumer: None,
            unpushed: Vec::new(),
            max_in_flight,
            waits: VecDeque::new(),
        }
    }

    fn reply(&mut self, id: u64, result: Answer, random: &mut fastrand::Rng) {
        let outcome = match result {
            Ok(reply) => Outcome::Ok(reply),
            Err(fault) => Outcome::Error(*fault),
        };
        let reply = ServerMessage::Reply { id, outcome };
        // Replies overtake other messages, but not the welcome, nor the pushes that they end.
        let passable = self
            .downstream
            .iter()
            .rev()
            .take_while(|message| match message {
                ServerMessage::Reply { .. } => true,
                ServerMessage::Push { id: other, .. } => *other != id,
                _ => false,
            });
        let overtaken = random.usize(..=passable.count().min(3));
        let index = self.downstream.len() - overtaken;
        self.downstream.insert(index, reply);
    }

    fn push(&mut self, id: u64, item: Item) {
        self.downstream.push_back(ServerMessage::Push { id, item });
    }

    /// Handles the next message from the client, perhaps with a fault. Returns whether it was the
    /// hello.
    pub(super) fn handle_next(
        &mut self,
        store: &mut ModelStore,
        random: &mut fastrand::Rng,
        faults: bool,
        now: Millis,
    ) -> bool {
        let Some(message) = self.upstream.pop_front() else {
            return false;
        };
        self.last_heard = now;
        match message {
            ClientMessage::Hello(_) => {
                let mut welcome = welcome();
                welcome.max_in_flight = self.max_in_flight;
                self.downstream.push_back(ServerMessage::Welcome(welcome));
                return true;
            }
            ClientMessage::Request { id, operation } => {
                self.request(id, operation, store, random, faults, now);
            }
            ClientMessage::Subscribe { id, .. } if faults && random.u8(..8) == 0 => {
                self.reply(id, error("LOADING"), random);
            }
            ClientMessage::Subscribe {
                id: of,
                subscription,
                credit,
            } => match subscription {
                Subscription::Tail { from, .. } => {
                    let at = match from {
                        TailStart::After { id } => place(&id),
                        _ => 0,
                    };
                    self.tail = Some((of, at, credit.entries));
                    let item = Item::Entries {
                        entries: vec![],
                        position: Some(id(at)),
                    };
                    self.push(of, item);
                }
                Subscription::Consume { claim_after_ms, .. } => {
                    self.consumer = Some((of, credit.entries, claim_after_ms.is_some()));
                }
                other => panic!("unknown subscription {other:?}"),
            },
            ClientMessage::Grant { id: of, credit } => self.grant(of, credit),
            ClientMessage::Cancel { id: of } => {
                self.waits.retain(|(id, ..)| *id != of);
            }
            ClientMessage::Ping { nonce } => {
                self.downstream.push_back(ServerMessage::Pong { nonce });
            }
            ClientMessage::Pong { .. } => {}
            other => panic!("{other:?}"),
        }
        false
    }

    fn request(
        &mut self,
        id: u64,
        operation: Operation<'static>,
        store: &mut ModelStore,
        random: &mut fastrand::Rng,
        faults: bool,
        now: Millis,
    ) {
        let most = random.usize(1..5);
        let result = match random.u8(..20) {
            _ if is_background_id(id) && now < store.outage_ends_at => error("DISCONNECTED"),
            0 if faults => error("DISCONNECTED"),
            1 if faults && !operation.is_read_only() => {
                if random.bool() {
                    let _ = store.perform(operation, most);
                }
                error("UNKNOWN_OUTCOME")
            }
            _ => {
                let wait = match &operation {
                    Operation::ReadGroup {
                        count,
                        block_ms: Some(ms),
                        ..
                    } => Some((*count, (*ms > 0).then_some(now + ms))),
                    _ => None,
                };
                match (store.perform(operation, most), wait) {
                    (
                        Ok(Reply::Entries {
                            entries,
                            more: false,
                            ..
                        }),
                        Some((count, end)),
                    ) if entries.is_empty() => {
                        self.waits.push_back((id, count, end));
                        return;
                    }
                    (result, _) => result,
                }
            }
        };
        self.reply(id, result, random);
    }

    fn grant(&mut self, of: u64, credit: Credit) {
        if let Some(tail) = self.tail.as_mut().filter(|tail| tail.0 == of) {
            tail.2 += credit.entries;
        } else if let Some(consumer) = self.consumer.as_mut().filter(|consumer| consumer.0 == of) {
            consumer.1 += credit.entries;
        }
    }

    /// Lets the server lose its backend while it has subscriptions and waits, and perhaps a
    /// delivery.
    pub(super) fn lose_backend(&mut self, store: &mut ModelStore, random: &mut fastrand::Rng) {
        let (of, left) = match random.u8(..40) {
            0 => match self.tail.take() {
                Some((of, ..)) => (of, None),
                None => return,
            },
            1 | 2 => match self.consumer.take() {
                Some((of, ..)) if !std::mem::take(&mut self.unpushed).is_empty() => {
                    return self.reply(of, error("UNKNOWN_OUTCOME"), random);
                }
                Some((of, left, _)) => (of, Some(left.min(4)).filter(|left| *left > 0)),
                None => return,
            },
            3 => match self.waits.pop_front() {
                Some((of, count, _)) => (of, Some(count)),
                None => return,
            },
            _ => return,
        };
        let code = match left {
            Some(left) if random.bool() => {
                if random.bool() {
                    store.deliver_next(Owner::Tested, left);
                }
                "UNKNOWN_OUTCOME"
            }
            // Nothing was delivered, except by a reclaim, which has its own rule.
            _ => "DISCONNECTED",
        };
        self.reply(of, error(code), random);
    }

    /// Pushes to the tail and the consumer, and answers waits, as far as there is something.
    pub(super) fn deliver(
        &mut self,
        store: &mut ModelStore,
        random: &mut fastrand::Rng,
        now: Millis,
    ) {
        while let Some((of, count, end)) = self.waits.front().copied() {
            let delivered = store.deliver_next(Owner::Tested, count);
            let is_over = end.is_some_and(|end| now >= end);
            if delivered.is_empty() && !is_over {
                break;
            }
            self.waits.pop_front();
            let most = random.usize(1..5);
            let reply = store.reply(&delivered, most);
            self.reply(of, reply, random);
        }
        if let Some((of, at, left)) = &mut self.tail
            && *at < store.entries.len()
            && *left > 0
        {
            *at += 1;
            *left -= 1;
            let (of, item) = (*of, item(store, *at));
            self.push(of, item);
        }
        if let Some((of, left, reclaims)) = self.consumer
            && left > 0
        {
            let reclaimed = if reclaims && random.u8(..4) == 0 {
                store.reclaim()
            } else {
                None
            };
            let mut places = match reclaimed {
                Some(at) => vec![at],
                None if !self.unpushed.is_empty() => {
                    if random.u8(..32) > 0 {
                        return;
                    }
                    std::mem::take(&mut self.unpushed)
                }
                None => store.deliver_next(Owner::Tested, left.min(4)),
            };
            let room = if random.u8(..4) == 0 {
                1
            } else {
                left as usize
            };
            self.unpushed.extend(places.drain(room.min(places.len())..));
            self.consumer = Some((of, left - places.len() as u64, reclaims));
            self.push_all(of, &places, store);
        }
    }

    /// Pushes entries, each that is too large as an item of its own.
    fn push_all(&mut self, of: u64, mut places: &[usize], store: &ModelStore) {
        while !places.is_empty() {
            match store.carry(places, places.len()) {
                Carried::TooLarge(at) => {
                    self.push(of, item(store, at));
                    places = &places[1..];
                }
                Carried::Entries { entries, .. } => {
                    places = &places[entries.len()..];
                    let position = None;
                    self.push(of, Item::Entries { entries, position });
                }
            }
        }
    }
}

fn item(store: &ModelStore, at: usize) -> Item {
    if store.is_too_large(at) {
        return Item::Skipped(Skipped::new(id(at), 1));
    }
    Item::Entries {
        entries: vec![store.entry(at)],
        position: None,
    }
}

fn error(code: &str) -> Answer {
    Err(Box::new(Fault::from(&CacheError::from_code(code, "why"))))
}
