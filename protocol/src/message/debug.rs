//! `Debug` of the messages that have a token, without the token: what is logged is read by others.

use std::fmt;

use super::{ClientMessage, Hello};

/// Stands for a token.
struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl fmt::Debug for Hello<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("client", &self.client)
            .field("max_frame_bytes", &self.max_frame_bytes)
            .field("features", &self.features)
            .field("token", &self.token.as_ref().map(|_| Redacted))
            .finish()
    }
}

impl fmt::Debug for ClientMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(hello) => f.debug_tuple("Hello").field(hello).finish(),
            Self::Request { id, operation } => f
                .debug_struct("Request")
                .field("id", id)
                .field("operation", operation)
                .finish(),
            Self::Cancel { id } => f.debug_struct("Cancel").field("id", id).finish(),
            Self::Subscribe {
                id,
                subscription,
                credit,
            } => f
                .debug_struct("Subscribe")
                .field("id", id)
                .field("subscription", subscription)
                .field("credit", credit)
                .finish(),
            Self::Grant { id, credit } => f
                .debug_struct("Grant")
                .field("id", id)
                .field("credit", credit)
                .finish(),
            Self::Ping { nonce } => f.debug_struct("Ping").field("nonce", nonce).finish(),
            Self::Pong { nonce } => f.debug_struct("Pong").field("nonce", nonce).finish(),
            Self::Authenticate { .. } => f
                .debug_struct("Authenticate")
                .field("token", &Redacted)
                .finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_is_written() {
        let mut hello = Hello::new("c", 1);
        assert!(format!("{hello:?}").contains("token: None"));
        hello.token = Some("secret".into());
        let token = "secret".into();
        for message in [
            ClientMessage::Hello(hello),
            ClientMessage::Authenticate { token },
        ] {
            let text = format!("{message:?}");
            assert!(!text.contains("secret"), "{text}");
            assert!(text.contains("token: "), "{text}");
        }
    }
}
