//! How many sockets one address may hold: a share of those of the server.

use crate::address_key::AddressKey;
use crate::keyed_counts::{KeyedCount, KeyedCounts};

/// The sockets of each address. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct SocketShares {
    max_per_address: usize,
    sockets: KeyedCounts<AddressKey>,
}

/// A socket that counts for its address.
#[derive(Debug)]
pub(crate) struct SocketShare(KeyedCount<AddressKey>);

impl SocketShares {
    pub(crate) fn new(max_per_address: u32) -> Self {
        Self {
            max_per_address: max_per_address as usize,
            sockets: KeyedCounts::default(),
        }
    }

    /// Counts a socket for its address; returns `None` if that has its share already.
    pub(crate) fn acquire(&self, address: AddressKey) -> Option<SocketShare> {
        let count = self.sockets.of(address);
        count
            .try_add_one(self.max_per_address)
            .then(|| SocketShare(count))
    }
}

impl Drop for SocketShare {
    fn drop(&mut self) {
        self.0.subtract(1);
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
        assert_eq!(shares.sockets.len(), 0);
    }
}
