//! Which session serves which client: a client has one live session on a server.
//!
//! A client whose network changed has a new socket at once, while the server may hold the old one
//! for two heartbeats more. Until then the old session would take entries for the client's consumers
//! and send them nowhere. So the session of a new `hello` takes over: it ends the old session first,
//! and begins when that takes nothing more from the backend.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

/// Longest time that a session waits for the one that it takes over. The old session ends sooner,
/// unless its thread hangs.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(3);

/// The clients with a session. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClientRegistry(Arc<Mutex<HashMap<Arc<str>, LiveSession>>>);

/// The session that serves a client.
#[derive(Debug)]
struct LiveSession {
    /// Ends the session; `None` after the first use.
    take_over: Option<oneshot::Sender<()>>,
    /// Its receivers see the sender go when the session has ended.
    ended: watch::Receiver<()>,
}

/// Keeps a client registered until the session takes nothing more from the backend.
#[derive(Debug)]
pub(crate) struct ClientRegistration {
    registry: ClientRegistry,
    client: Arc<str>,
    ended: watch::Sender<()>,
}

/// Completes when another session takes the client over.
pub(crate) type TakenOver = oneshot::Receiver<()>;

/// The session that was taken over.
#[derive(Debug)]
pub(crate) struct Predecessor(watch::Receiver<()>);

impl ClientRegistry {
    /// Registers a session. Ends the session that serves the client, if there is one.
    pub(crate) fn register(
        &self,
        client: &str,
    ) -> (ClientRegistration, TakenOver, Option<Predecessor>) {
        let client: Arc<str> = client.into();
        let (take_over, taken_over) = oneshot::channel();
        let (sender, ended) = watch::channel(());
        let session = LiveSession {
            take_over: Some(take_over),
            ended,
        };
        let predecessor = self.lock().insert(Arc::clone(&client), session);
        let registration = ClientRegistration {
            registry: self.clone(),
            client,
            ended: sender,
        };
        let predecessor = predecessor.map(|mut predecessor| {
            if let Some(take_over) = predecessor.take_over.take() {
                // A session that is ending has no receiver any more.
                let _ = take_over.send(());
            }
            Predecessor(predecessor.ended)
        });
        (registration, taken_over, predecessor)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, LiveSession>> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientRegistration {
    /// Returns whether it is of a client's name.
    pub(crate) fn is_of(&self, client: &str) -> bool {
        *self.client == *client
    }
}

impl Drop for ClientRegistration {
    fn drop(&mut self) {
        // Another session may serve the client by now.
        if let Entry::Occupied(session) = self.registry.lock().entry(Arc::clone(&self.client))
            && session.get().ended.same_channel(&self.ended.subscribe())
        {
            session.remove();
        }
    }
}

impl Predecessor {
    /// Waits until the session takes nothing more from the backend, for a bounded time.
    pub(crate) async fn ended(mut self) {
        // Nothing is ever sent, so the channel only closes.
        let closed = async { while self.0.changed().await.is_ok() {} };
        if tokio::time::timeout(PREDECESSOR_TIMEOUT, closed)
            .await
            .is_err()
        {
            tracing::warn!("an old session of a client did not end in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_begins_when_the_one_before_it_has_ended() {
        let registry = ClientRegistry::default();
        let (first, mut taken_over, none) = registry.register("c");
        assert!(none.is_none());
        assert!((&mut taken_over).now_or_never().is_none());
        let (second, _kept, predecessor) = registry.register("c");
        taken_over.await.unwrap();
        let mut ended = Box::pin(predecessor.unwrap().ended());
        assert!((&mut ended).now_or_never().is_none());
        drop(first);
        assert!(ended.now_or_never().is_some());
        assert_eq!(registry.lock().len(), 1);
        drop(second);
        assert_eq!(registry.lock().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_does_not_end_is_not_awaited_for_ever() {
        let registry = ClientRegistry::default();
        let (_first, ..) = registry.register("c");
        let (_second, _kept, predecessor) = registry.register("c");
        predecessor.unwrap().ended().await;
    }

    #[test]
    fn clients_with_different_ids_do_not_meet() {
        let registry = ClientRegistry::default();
        let (_first, _kept, _) = registry.register("c");
        let (_second, _kept_too, predecessor) = registry.register("d");
        assert!(predecessor.is_none());
    }
}
