//! Draws the id of a native client.

use streamgate_protocol::{CacheError, CacheResult};

use crate::engine::ClientId;

/// Draws an id from the operating system. Each client draws its own when it connects, so that
/// processes that were forked, or machines that were cloned, before that do not share one.
pub(super) fn new_client_id() -> CacheResult<ClientId> {
    let mut bits = [0; 16];
    match getrandom::fill(&mut bits) {
        Ok(()) => Ok(ClientId::from_random(bits)),
        Err(why) => Err(CacheError::ConfigError(format!(
            "no random numbers from the operating system: {why}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_clients_share_an_id() {
        let [one, other] = [(); 2].map(|()| format!("{:?}", new_client_id().unwrap()));
        assert_ne!(one, other);
    }
}
