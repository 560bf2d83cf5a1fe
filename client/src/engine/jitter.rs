//! Randomness of pauses, so that clients that failed together do not come back together.

/// A generator of random numbers that need no secrecy: SplitMix64, which is a small download.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a random number from 0 to `max`, which is below 2^32.
    // Inlined it would be a larger download for browsers.
    #[inline(never)]
    pub(super) const fn up_to(&mut self, max: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        ((bits >> 32) * (max + 1)) >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_about_as_often() {
        let mut jitter = Jitter::new(1);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[jitter.up_to(9) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
        assert_eq!(jitter.up_to(0), 0);
        let max = u64::from(u32::MAX);
        assert!((0..1_000).all(|_| jitter.up_to(max) <= max));
    }
}
