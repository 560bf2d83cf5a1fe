//! How many sockets one address may hold: a share of those of the server.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::address_key::AddressKey;

/// The sockets of each address. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct SocketShares {
    max_per_address: u32,
    sockets: Arc<Mutex<HashMap<AddressKey, u32>>>,
}

/// A socket that counts for its address.
#[derive(Debug)]
pub(crate) struct SocketShare {
    shares: SocketShares,
    address: AddressKey,
}

impl SocketShares {
    pub(crate) fn new(max_per_address: u32) -> Self {
        Self {
            max_per_address,
            sockets: Arc::default(),
        }
    }

    /// Counts a socket for its address; returns `None` if that has its share already.
    pub(crate) fn acquire(&self, address: AddressKey) -> Option<SocketShare> {
        let mut sockets = self.lock();
        let count = sockets.entry(address).or_insert(0);
        if *count >= self.max_per_address {
            return None;
        }
        *count += 1;
        drop(sockets);
        Some(SocketShare {
            shares: self.clone(),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AddressKey, u32>> {
        // Nothing panics under the lock.
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SocketShare {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.shares.lock().entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let shares = SocketShares::new(2);
        let [one, other] =
            ["192.0.2.1:1", "192.0.2.2:1"].map(|text| AddressKey::of(text.parse().unwrap()));
        let first = shares.acquire(one).unwrap();
        let second = shares.acquire(one).unwrap();
        assert!(shares.acquire(one).is_none());
        let third = shares.acquire(other).unwrap();
        drop(first);
        let fourth = shares.acquire(one).unwrap();
        assert!(shares.acquire(one).is_none());
        drop((second, third, fourth));
        assert!(shares.lock().is_empty());
    }
}
