//! Places for connections that have no socket yet: a bound for all, and one for each address.
//!
//! Whoever needs a place gets one. If there is none, another connection loses its own: the oldest
//! silent one, which has not sent its whole request. So a flood of silent connections takes no place
//! from those that become sockets. If fewer than half are silent, the flood is one of requests, and
//! the oldest with a request goes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::address_key::AddressKey;
use crate::refusal::Refusal;

/// The places of a listener. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct HandshakePlaces {
    max: u32,
    max_per_address: u32,
    /// Why a connection makes room: for all, and for one of its address.
    refusals: [Refusal; 2],
    /// Held by connections until they have really ended: this bounds the open files.
    files: Arc<Semaphore>,
    connections: Arc<Mutex<Connections>>,
}

#[derive(Debug, Default)]
struct Connections {
    next_serial: u64,
    by_serial: HashMap<u64, Connection>,
    all: ByAge,
    of_address: HashMap<AddressKey, ByAge>,
}

/// The serial numbers of connections.
#[derive(Debug, Default)]
struct ByAge {
    silent: BTreeSet<u64>,
    with_request: BTreeSet<u64>,
}

#[derive(Debug)]
struct Connection {
    address: Option<AddressKey>,
    has_request: bool,
    evict: oneshot::Sender<Refusal>,
}

/// A place that a connection holds.
#[derive(Debug)]
pub(crate) struct HandshakePlace {
    places: HandshakePlaces,
    serial: u64,
    _file: Option<OwnedSemaphorePermit>,
}

/// Completes when a connection has to make room.
#[derive(Debug)]
pub(crate) struct Evicted(oneshot::Receiver<Refusal>);

impl HandshakePlaces {
    pub(crate) fn new(max: u32, max_per_address: u32) -> Self {
        Self {
            max,
            max_per_address,
            refusals: [
                Refusal::TooManyHandshakes,
                Refusal::TooManyHandshakesOfAddress,
            ],
            files: Arc::new(Semaphore::new(max as usize)),
            connections: Arc::default(),
        }
    }

    /// Returns places for sockets without a hello.
    pub(crate) fn of_hellos(max: u32, max_per_address: u32) -> Self {
        Self {
            refusals: [Refusal::TooManyHellos, Refusal::TooManyHellosOfAddress],
            ..Self::new(max, max_per_address)
        }
    }

    /// Returns a place for a connection of this address, if it has one of its own. Waits until a
    /// connection that had to make room has closed.
    pub(crate) async fn take(&self, address: Option<AddressKey>) -> (HandshakePlace, Evicted) {
        let file = match Arc::clone(&self.files).try_acquire_owned() {
            Ok(file) => Some(file),
            Err(_) => {
                self.lock().evict_one(self.refusals[0]);
                // An error would mean that the semaphore is closed, which it never is.
                Arc::clone(&self.files).acquire_owned().await.ok()
            }
        };
        let mut connections = self.lock();
        let serial = connections.next_serial;
        connections.next_serial += 1;
        let (evict, evicted) = oneshot::channel();
        let connection = Connection {
            address: None,
            has_request: false,
            evict,
        };
        connections.by_serial.insert(serial, connection);
        connections.all.silent.insert(serial);
        drop(connections);
        let place = HandshakePlace {
            places: self.clone(),
            serial,
            _file: file,
        };
        if let Some(address) = address {
            place.set_address(address);
        }
        (place, Evicted(evicted))
    }

    /// Returns how many connections have a place.
    pub(crate) fn taken(&self) -> usize {
        self.max as usize - self.files.available_permits()
    }

    /// Returns when no connection has a place.
    pub(crate) async fn until_free(&self) {
        // An error would mean that the semaphore is closed, which it never is.
        let _ = self.files.acquire_many(self.max).await;
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        // Nothing panics under the lock.
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl HandshakePlace {
    /// Counts the connection for this address from now on.
    pub(crate) fn set_address(&self, address: AddressKey) {
        let places = &self.places;
        let max = (places.max_per_address, places.refusals[1]);
        places.lock().set_address(self.serial, address, max);
    }

    /// Records that the connection has sent its whole request.
    pub(crate) fn request_arrived(&self) {
        self.places.lock().request_arrived(self.serial);
    }
}

impl Evicted {
    /// Completes when the connection has to make room, with the reason.
    pub(crate) async fn reason(&mut self) -> Refusal {
        match (&mut self.0).await {
            Ok(refusal) => refusal,
            // The sender lives as long as the place, unless it has sent.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for HandshakePlace {
    fn drop(&mut self) {
        self.places.lock().remove(self.serial);
    }
}

impl Connections {
    fn set_address(
        &mut self,
        serial: u64,
        address: AddressKey,
        (max_per_address, refusal): (u32, Refusal),
    ) {
        let Some(connection) = self.by_serial.get_mut(&serial) else {
            return;
        };
        if connection.address == Some(address) {
            return;
        }
        let has_request = connection.has_request;
        let old = connection.address.replace(address);
        self.leave_address(serial, old);
        let of_address = self.of_address.entry(address).or_default();
        of_address.of(has_request).insert(serial);
        if of_address.len() > max_per_address as usize
            && let Some(first) = of_address.first_to_go()
        {
            self.evict(first, refusal);
        }
    }

    fn request_arrived(&mut self, serial: u64) {
        let Some(connection) = self.by_serial.get_mut(&serial) else {
            return;
        };
        connection.has_request = true;
        let address = connection.address;
        let of_address = address.and_then(|address| self.of_address.get_mut(&address));
        for by_age in std::iter::once(&mut self.all).chain(of_address) {
            by_age.silent.remove(&serial);
            by_age.with_request.insert(serial);
        }
    }

    fn evict_one(&mut self, refusal: Refusal) {
        if let Some(first) = self.all.first_to_go() {
            self.evict(first, refusal);
        }
    }

    fn evict(&mut self, serial: u64, refusal: Refusal) {
        if let Some(connection) = self.remove(serial) {
            // A connection that is ending has no receiver any more.
            let _ = connection.evict.send(refusal);
        }
    }

    fn remove(&mut self, serial: u64) -> Option<Connection> {
        let connection = self.by_serial.remove(&serial)?;
        self.all.remove(serial);
        self.leave_address(serial, connection.address);
        Some(connection)
    }

    fn leave_address(&mut self, serial: u64, address: Option<AddressKey>) {
        if let Some(address) = address
            && let Some(of_address) = self.of_address.get_mut(&address)
        {
            of_address.remove(serial);
            if of_address.len() == 0 {
                self.of_address.remove(&address);
            }
        }
    }
}

impl ByAge {
    /// Returns the connection that makes room first.
    fn first_to_go(&self) -> Option<u64> {
        let mostly_silent = self.silent.len() >= self.with_request.len();
        let (first, second) = if mostly_silent {
            (&self.silent, &self.with_request)
        } else {
            (&self.with_request, &self.silent)
        };
        first.first().or_else(|| second.first()).copied()
    }

    fn of(&mut self, has_request: bool) -> &mut BTreeSet<u64> {
        if has_request {
            &mut self.with_request
        } else {
            &mut self.silent
        }
    }

    fn remove(&mut self, serial: u64) {
        self.silent.remove(&serial);
        self.with_request.remove(&serial);
    }

    fn len(&self) -> usize {
        self.silent.len() + self.with_request.len()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn address(text: &str) -> AddressKey {
        AddressKey::of(text.parse().unwrap())
    }

    #[tokio::test]
    async fn the_oldest_makes_room_and_its_file_is_closed_first() {
        let places = HandshakePlaces::new(2, 2);
        let (oldest, mut oldest_evicted) = places.take(None).await;
        let (second, mut second_evicted) = places.take(Some(address("192.0.2.1:1"))).await;
        let mut third = Box::pin(places.take(None));
        assert!((&mut third).now_or_never().is_none());
        assert_eq!(oldest_evicted.reason().await, Refusal::TooManyHandshakes);
        assert!((&mut third).now_or_never().is_none());
        drop(oldest);
        let third = third.await;
        assert!(second_evicted.reason().now_or_never().is_none());
        assert_eq!(places.taken(), 2);
        drop((second, third));
        places.until_free().await;
        assert!(places.lock().of_address.is_empty());
    }

    #[tokio::test]
    async fn an_address_with_all_its_places_makes_room_itself() {
        let places = HandshakePlaces::new(10, 2);
        let (one, other) = (address("192.0.2.1:1"), address("192.0.2.2:1"));
        let (_stranger, mut stranger_evicted) = places.take(Some(other)).await;
        let (_oldest, mut oldest_evicted) = places.take(Some(one)).await;
        let (_second, mut second_evicted) = places.take(Some(one)).await;
        // Behind a proxy: the address is known later.
        let (third, _third_evicted) = places.take(None).await;
        assert!(oldest_evicted.reason().now_or_never().is_none());
        third.set_address(one);
        let reason = oldest_evicted.reason().await;
        assert_eq!(reason, Refusal::TooManyHandshakesOfAddress);
        assert!(second_evicted.reason().now_or_never().is_none());
        assert!(stranger_evicted.reason().now_or_never().is_none());
    }

    #[tokio::test]
    async fn silent_connections_make_room_before_those_with_a_request() {
        for count_by_address in [false, true] {
            let max_per_address = if count_by_address { 4 } else { 10 };
            let max = if count_by_address { 10 } else { 4 };
            let places = HandshakePlaces::new(max, max_per_address);
            let one = Some(address("192.0.2.1:1"));
            let (upgrading, mut upgrading_evicted) = places.take(one).await;
            upgrading.request_arrived();
            let mut silent = std::collections::VecDeque::new();
            for _ in 0..3 {
                silent.push_back(places.take(one).await);
            }
            for _ in 0..20 {
                let mut newcomer = Box::pin(places.take(one));
                let taken = (&mut newcomer).now_or_never();
                let (oldest, mut evicted) = silent.pop_front().unwrap();
                evicted.reason().await;
                drop(oldest);
                silent.push_back(match taken {
                    Some(taken) => taken,
                    None => newcomer.await,
                });
            }
            assert!(upgrading_evicted.reason().now_or_never().is_none());
        }
    }

    #[tokio::test]
    async fn in_a_flood_of_requests_the_oldest_request_makes_room() {
        let places = HandshakePlaces::new(3, 3);
        let (first, mut first_evicted) = places.take(None).await;
        let (second, mut second_evicted) = places.take(None).await;
        let (_silent, mut silent_evicted) = places.take(None).await;
        first.request_arrived();
        second.request_arrived();
        let mut newcomer = Box::pin(places.take(None));
        assert!((&mut newcomer).now_or_never().is_none());
        assert_eq!(first_evicted.reason().await, Refusal::TooManyHandshakes);
        assert!(second_evicted.reason().now_or_never().is_none());
        assert!(silent_evicted.reason().now_or_never().is_none());
    }
}
