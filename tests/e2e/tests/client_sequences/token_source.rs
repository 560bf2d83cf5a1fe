//! The owner's source of tokens: each request waits until a step answers it.

use anyhow::{Context, ensure};
use streamgate_client::{Builder, CacheResult};
use tokio::sync::{mpsc, oneshot};

use crate::server_socket::HANG_LIMIT;

/// A request of the client: whether it must be another token, and where the answer goes.
type Request = (bool, oneshot::Sender<CacheResult<String>>);

pub(crate) struct TokenSource {
    sender: mpsc::UnboundedSender<Request>,
    requests: mpsc::UnboundedReceiver<Request>,
}

impl Default for TokenSource {
    fn default() -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        Self { sender, requests }
    }
}

impl TokenSource {
    /// Makes this the source of a client's tokens.
    pub(crate) fn supply(&self, builder: Builder) -> Builder {
        let requests = self.sender.clone();
        builder.token_source(move |request| {
            let (sender, answer) = oneshot::channel();
            // The test is over if nobody receives.
            let _ = requests.send((request.force, sender));
            async move {
                match answer.await {
                    Ok(answer) => answer,
                    Err(_) => std::future::pending().await,
                }
            }
        })
    }

    /// Waits for the client's next request, and answers it.
    pub(crate) async fn answer(
        &mut self,
        force: Option<bool>,
        answer: CacheResult<String>,
    ) -> anyhow::Result<()> {
        let next = tokio::time::timeout(HANG_LIMIT, self.requests.recv()).await;
        let (received, sender) = next
            .context("the client does not ask for a token in time")?
            .context("no client")?;
        ensure!(
            force.is_none_or(|force| force == received),
            "force is {received}"
        );
        let sent = sender.send(answer);
        ensure!(sent.is_ok(), "the client no longer awaits the token");
        Ok(())
    }

    /// Returns whether the client's next request is forced.
    pub(crate) async fn next(&mut self) -> Option<bool> {
        self.requests.recv().await.map(|(force, _)| force)
    }

    /// Fails if the client asks for a token.
    pub(crate) fn expect_no_request(&mut self) -> anyhow::Result<()> {
        let request = self.requests.try_recv();
        ensure!(request.is_err(), "the client asks for a token");
        Ok(())
    }
}
