//! The attacks, one file a family.

use crate::attack::Attack;

mod anonymous;
mod churn;
mod connections;
mod floods;
mod full_store;
mod given_up;
mod hoards;
mod http;
mod large_reads;
mod large_requests;
mod slow_frames;
mod slow_readers;
mod stalled_redis;
mod websocket;

/// Returns all attacks.
pub(crate) fn all() -> impl Iterator<Item = &'static Attack> {
    let families = [
        large_reads::ATTACKS,
        large_requests::ATTACKS,
        hoards::ATTACKS,
        connections::ATTACKS,
        slow_frames::ATTACKS,
        slow_readers::ATTACKS,
        stalled_redis::ATTACKS,
        floods::ATTACKS,
        churn::ATTACKS,
        full_store::ATTACKS,
        http::ATTACKS,
        websocket::ATTACKS,
        anonymous::ATTACKS,
    ];
    families.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names = HashSet::new();
        for attack in all() {
            assert!(names.insert(attack.name), "{} is there twice", attack.name);
        }
    }
}
