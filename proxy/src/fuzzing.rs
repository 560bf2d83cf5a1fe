//! What the fuzz targets of `tests/fuzz` reach, in their builds only.

use std::path::Path;
use std::time::SystemTime;

use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::Subscription;
use streamgate_protocol::{CacheError, Operation};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::auth::{AuthPolicy, Authenticator};
use crate::cli;
use crate::rights::{Rights, Role};
use crate::server::Server;
use crate::session;
use crate::socket::ServerSocket;

/// Serves a WebSocket after its handshake, until it ends.
pub async fn serve<S>(server: &Server, stream: S, encoding: Encoding)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let max_bytes = server.state.config.max_frame_bytes;
    let socket = ServerSocket::new(stream, encoding, max_bytes).await;
    session::run(&server.state, socket, None, session::Opening::default()).await;
}

/// Verifies tokens by a policy, as a server does.
#[derive(Debug)]
pub struct TokenVerifier(Authenticator);

impl TokenVerifier {
    /// Builds one that has seen no token.
    pub fn new(policy: AuthPolicy) -> Self {
        Self(Authenticator::new(policy))
    }

    /// Returns the subject of a token, or why it is refused.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<String, String> {
        match self.0.verify(token, now) {
            Ok(subject) => Ok(subject.name.as_deref().unwrap_or_default().to_owned()),
            Err(refused) => Err(refused.to_string()),
        }
    }
}

/// The rights of a token.
#[derive(Debug)]
pub struct TokenRights(Rights);

impl TokenRights {
    /// Compiles the rights of a token with this role and these claims.
    pub fn new<'c>(role: &Role, claim: &dyn Fn(&str) -> Option<&'c str>) -> Self {
        Self(Rights::compile([role], claim))
    }

    /// Checks an operation, and applies the terms of its right.
    pub fn permit_operation(&self, operation: &mut Operation<'_>) -> Result<(), CacheError> {
        match self.0.permit_operation(operation, "")? {
            Some(ongoing) => self.0.still_permit(&ongoing).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Checks a subscription, and applies the terms of its right. Returns the bound of its
    /// dead-letter stream.
    pub fn permit_subscription(
        &self,
        subscription: &mut Subscription<'_>,
    ) -> Result<Option<u64>, CacheError> {
        let (ongoing, dead_letters) = self.0.permit_subscription(subscription)?;
        if let Some(ongoing) = ongoing {
            self.0.still_permit(&ongoing)?;
        }
        Ok(dead_letters.maxlen)
    }
}

/// Resolves the text of a settings file, and describes all of it.
pub fn describe_settings(path: &Path, text: &str) -> Result<String, String> {
    cli::describe_settings(path, text)
}
