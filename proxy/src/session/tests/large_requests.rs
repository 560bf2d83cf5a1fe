//! Large requests take turns, across sockets.

use std::sync::Mutex;

use super::*;

/// A backend that answers at once, and holds what it is told to drop once it has moved the bytes.
#[derive(Default)]
struct HoldingBackend(Arc<Mutex<Vec<PerformOptions>>>);

impl PerformOperation for HoldingBackend {
    async fn perform_operation<'a>(&'a self, _: Operation<'a>) -> CacheResult<Reply> {
        Ok(Reply::Done {})
    }
}

impl Backend for HoldingBackend {
    fn perform<'a>(
        &'a self,
        operations: Vec<Operation<'_>>,
        options: PerformOptions,
    ) -> BoxFuture<'a, Vec<Progress<'a>>> {
        self.0.lock().unwrap().push(options);
        let done = operations
            .iter()
            .map(|_| Progress::Done(Ok(Reply::Done {})));
        let progress = done.collect();
        async { progress }.boxed()
    }
}

fn add(bytes: usize) -> ClientMessage<'static> {
    let operation = Operation::Add {
        stream: "s".into(),
        fields: vec![("f".into(), "x".repeat(bytes).into())],
        maxlen: None,
    };
    ClientMessage::Request { id: 1, operation }
}

#[tokio::test(start_paused = true)]
async fn a_large_request_waits_until_the_backend_has_moved_another() {
    let backend = HoldingBackend::default();
    let held = Arc::clone(&backend.0);
    let begun = || held.lock().unwrap().len();
    let server = Server::new(Arc::new(backend), without_heartbeat()).unwrap();
    let large = || add(600 << 10);
    let mut sockets = Vec::new();
    for message in [large(), large(), add(1)] {
        let (mut client, mut session) = connect(&server, 1 << 20).await;
        beside(&mut session, async {
            next_message(&mut client).await;
            send(&mut client, message).await;
            // Until there is nothing left to do: time is paused.
            tokio::time::sleep(Duration::from_secs(1)).await;
        })
        .await;
        sockets.push((client, session));
    }
    assert_eq!(begun(), 2, "the first, and the small one");
    held.lock().unwrap().clear();
    for (client, session) in &mut sockets {
        let reply = beside(session, next_message(client)).await;
        assert!(
            matches!(reply, ServerMessage::Reply { id: 1, .. }),
            "{reply:?}"
        );
    }
    assert_eq!(begun(), 1, "the second");
}

#[tokio::test(start_paused = true)]
async fn a_large_request_that_waits_does_not_begin_once_the_server_shuts_down() {
    let backend = HoldingBackend::default();
    let held = Arc::clone(&backend.0);
    let config = without_heartbeat().drain_period(Duration::ZERO);
    let server = Server::new(Arc::new(backend), config).unwrap();
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let (mut client, mut session) = connect(&server, 1 << 20).await;
        beside(&mut session, async {
            next_message(&mut client).await;
            send(&mut client, add(600 << 10)).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        })
        .await;
        sockets.push((client, session));
    }
    let (client, session) = sockets.pop().unwrap();
    assert!(server.state.shutdown.begin(1));
    let ((code, _), ()) = tokio::join!(closed(client), session);
    assert_eq!(code, close::GOING_AWAY);
    assert_eq!(held.lock().unwrap().len(), 1, "the second has not begun");
}
