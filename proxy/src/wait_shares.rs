//! How many waits and subscriptions each socket and each address may have.
//!
//! Together they are bounded, because a backend bounds them. A wait counts for its socket and for
//! everything else that the socket [belongs to](WaitShare::join). Each of these has a share:
//!
//! - A socket may have an eighth of the bound at most, a subject a quarter, and an address three
//!   eighths. All may have fewer, the less is free. So one of them alone never has all: half of what
//!   may be taken is left when an address has its share, enough for an office or a carrier behind
//!   one address.
//! - The last quarter of the bound is for those that have few. So even if a hundred sockets take
//!   all they can, others have some.
//! - The last quarter of an address's share is for its sockets that have few: they may belong to
//!   different people.
//!
//! A peer without an address, as in [`Server::router`](crate::Server::router) without
//! `ConnectInfo`, has the share of its socket alone. So has a trusted proxy that names no client:
//! it speaks for many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::address_key::AddressKey;
use crate::keyed_counts::{KeyedCount, KeyedCounts};

/// Waits and subscriptions of all sockets together: as many as a backend takes by default.
const MAX_WAITS: usize = 131_072;

/// Waits that only those with few may take: see [`Rule::few`].
const RESERVED_WAITS: usize = MAX_WAITS / 4;

/// The share of one socket.
const OF_SOCKET: Rule = Rule {
    divisor: 5,
    few: 256,
};

/// The share of one address. Its few are enough for some tabs of some people, and 32 hostile
/// addresses are needed to take all that are reserved.
const OF_ADDRESS: Rule = Rule {
    divisor: 1,
    few: 1_024,
};

/// The share of one subject: a person with many tabs, or a service with many workers.
const OF_SUBJECT: Rule = Rule {
    divisor: 2,
    few: 1_024,
};

/// What a share is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ShareKey {
    /// All sockets of an address.
    Address(AddressKey),
    /// All sockets of a subject, by a hash of its name.
    Subject([u8; 16]),
}

/// The size of a share.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// A share is what is free and not reserved, divided by this.
    divisor: usize,
    /// A share is at least this, as long as so many are free.
    few: usize,
}

/// The waits and subscriptions of all sockets. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct WaitShares {
    all: Arc<AtomicUsize>,
    by_key: KeyedCounts<ShareKey>,
}

/// The waits and subscriptions of one socket.
pub(crate) struct WaitShare {
    shares: WaitShares,
    own: usize,
    /// The counts of what the socket belongs to.
    joined: Vec<KeyedCount<ShareKey>>,
}

/// Whose share is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UsedUpShare {
    Socket,
    Of(ShareKey),
}

impl ShareKey {
    fn rule(self) -> Rule {
        match self {
            Self::Address(_) => OF_ADDRESS,
            Self::Subject(_) => OF_SUBJECT,
        }
    }
}

impl Rule {
    /// Returns the size of a share while this many waits are free.
    fn share(self, free: usize) -> usize {
        let share = free.saturating_sub(RESERVED_WAITS) / self.divisor;
        share.max(self.few.min(free))
    }
}

impl WaitShares {
    /// Returns the share of one more socket.
    pub(crate) fn share(&self) -> WaitShare {
        WaitShare {
            shares: self.clone(),
            own: 0,
            joined: Vec::new(),
        }
    }

    /// Returns how many the sockets of a key have.
    #[cfg(test)]
    pub(crate) fn held_by(&self, key: ShareKey) -> usize {
        self.by_key.of(key).value()
    }
}

impl WaitShare {
    /// Lets the waits of this socket count for a key too, in the place of an earlier key of its kind.
    pub(crate) fn join(&mut self, key: ShareKey) {
        let count = self.shares.by_key.of(key);
        count.add(self.own);
        let is_of_kind = |earlier: &&mut KeyedCount<ShareKey>| {
            std::mem::discriminant(&earlier.key()) == std::mem::discriminant(&key)
        };
        match self.joined.iter_mut().find(is_of_kind) {
            Some(earlier) => {
                earlier.subtract(self.own);
                *earlier = count;
            }
            None => self.joined.push(count),
        }
    }

    /// Counts one more.
    ///
    /// # Errors
    ///
    /// The first share that is used up.
    pub(crate) fn try_add(&mut self) -> Result<(), UsedUpShare> {
        let free = MAX_WAITS.saturating_sub(self.shares.all.load(Ordering::Relaxed));
        if self.own >= OF_SOCKET.share(free) {
            return Err(UsedUpShare::Socket);
        }
        let has_few = self.own < OF_SOCKET.few;
        for count in &self.joined {
            let share = count.key().rule().share(free);
            let open = if has_few { share } else { share - share / 4 };
            if count.value() >= open {
                return Err(UsedUpShare::Of(count.key()));
            }
        }
        self.own += 1;
        self.shares.all.fetch_add(1, Ordering::Relaxed);
        for count in &self.joined {
            count.add(1);
        }
        Ok(())
    }

    /// Counts one fewer.
    pub(crate) fn remove(&mut self) {
        self.give_back(1);
    }

    /// Returns how many this socket has.
    pub(crate) fn len(&self) -> usize {
        self.own
    }

    fn give_back(&mut self, waits: usize) {
        self.own -= waits;
        self.shares.all.fetch_sub(waits, Ordering::Relaxed);
        for count in &self.joined {
            count.subtract(waits);
        }
    }
}

impl Drop for WaitShare {
    fn drop(&mut self) {
        self.give_back(self.own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(share: &mut WaitShare) -> usize {
        while share.try_add().is_ok() {}
        share.len()
    }

    fn key(address: u8) -> ShareKey {
        ShareKey::Address(AddressKey::of(([192, 0, 2, address], 1).into()))
    }

    fn share_of(all: &WaitShares, address: u8) -> WaitShare {
        let mut share = all.share();
        share.join(key(address));
        share
    }

    fn held(shares: &[WaitShare]) -> usize {
        shares.iter().map(WaitShare::len).sum()
    }

    #[test]
    fn one_socket_may_have_an_eighth() {
        let all = WaitShares::default();
        assert_eq!(take_all(&mut all.share()), MAX_WAITS / 8);
        assert_eq!(
            take_all(&mut share_of(&all, 1)),
            MAX_WAITS / 8,
            "all came back"
        );
    }

    #[test]
    fn however_many_take_all_they_can_another_has_some() {
        let all = WaitShares::default();
        let mut greedy: Vec<_> = (0..100).map(|_| all.share()).collect();
        // In any order, and again and again.
        for _ in 0..3 {
            for share in &mut greedy {
                take_all(share);
            }
        }
        let mut another = all.share();
        assert!(take_all(&mut another) >= OF_SOCKET.few, "{}", another.len());
        greedy.truncate(50);
        assert_eq!(
            all.all.load(Ordering::Relaxed),
            held(&greedy) + another.len()
        );
        another.remove();
        assert!(another.try_add().is_ok());
    }

    #[test]
    fn sockets_with_few_waits_of_one_address_cannot_take_all() {
        let all = WaitShares::default();
        let mut sockets: Vec<_> = (0..512).map(|_| share_of(&all, 1)).collect();
        for share in &mut sockets {
            while share.len() < OF_SOCKET.few && share.try_add().is_ok() {}
        }
        assert_eq!(held(&sockets), MAX_WAITS * 3 / 8);
        let refused = share_of(&all, 1).try_add();
        assert_eq!(refused, Err(UsedUpShare::Of(key(1))));
        let mut others: Vec<_> = (0..100).map(|_| share_of(&all, 2)).collect();
        others.iter_mut().for_each(|share| _ = take_all(share));
        assert!(held(&others) > MAX_WAITS / 8, "{}", held(&others));
        drop((sockets, others));
        assert_eq!((all.all.load(Ordering::Relaxed), all.by_key.len()), (0, 0));
    }

    #[test]
    fn the_sockets_of_a_subject_may_have_a_quarter() {
        let all = WaitShares::default();
        let ann = ShareKey::Subject([1; 16]);
        let mut sockets: Vec<_> = (0..1_000).map(|_| all.share()).collect();
        for share in &mut sockets {
            share.join(ann);
            while share.len() < OF_SOCKET.few && share.try_add().is_ok() {}
        }
        assert_eq!(held(&sockets), MAX_WAITS / 4);
        let refused = sockets.last_mut().unwrap().try_add();
        assert_eq!(refused, Err(UsedUpShare::Of(ann)));
    }

    #[test]
    fn waits_move_with_their_socket_to_another_subject() {
        let all = WaitShares::default();
        let [ann, bob] = [1, 2].map(|n| ShareKey::Subject([n; 16]));
        let mut share = share_of(&all, 1);
        share.join(ann);
        for _ in 0..3 {
            share.try_add().unwrap();
        }
        let held = || [ann, bob, key(1)].map(|key| all.held_by(key));
        assert_eq!(held(), [3, 0, 3]);
        share.join(bob);
        assert_eq!(held(), [0, 3, 3]);
        share.join(bob);
        share.remove();
        assert_eq!(held(), [0, 2, 2]);
        drop(share);
        assert_eq!((held(), all.by_key.len()), ([0; 3], 0));
    }

    #[test]
    fn however_many_addresses_take_all_they_can_another_has_some() {
        let all = WaitShares::default();
        let mut greedy: Vec<_> = (0..600).map(|n| share_of(&all, (n % 20) as u8)).collect();
        for _ in 0..3 {
            for share in &mut greedy {
                take_all(share);
            }
        }
        let mut others: Vec<_> = (0..8).map(|_| share_of(&all, 200)).collect();
        others.iter_mut().for_each(|share| _ = take_all(share));
        assert!(held(&others) >= OF_ADDRESS.few * 3 / 4, "{}", held(&others));
    }

    #[test]
    fn the_sockets_of_an_address_with_few_waits_have_some_beside_greedy_ones() {
        let all = WaitShares::default();
        let mut greedy: Vec<_> = (0..13).map(|_| share_of(&all, 1)).collect();
        for share in &mut greedy {
            take_all(share);
        }
        let mut another = share_of(&all, 1);
        assert_eq!(take_all(&mut another), OF_SOCKET.few);
    }

    #[test]
    fn a_socket_that_joins_later_brings_what_it_has() {
        let all = WaitShares::default();
        let mut share = all.share();
        for _ in 0..3 {
            share.try_add().unwrap();
        }
        share.join(key(1));
        share.remove();
        assert_eq!(all.held_by(key(1)), 2);
    }
}
