//! The connector of the npm package: JavaScript takes its requests for tokens.

use js_sys::Function;
use streamgate_client::CacheResult;
use streamgate_client::internals::{Connector, TokenRequest};

use crate::socket::{RuntimeSocket, SocketOpener};

#[derive(Debug)]
pub(super) struct NpmConnector {
    opener: SocketOpener,
    token_request: Option<TokenRequest>,
}

impl NpmConnector {
    pub(super) fn new(url: &str, constructor: Function) -> CacheResult<Self> {
        Ok(Self {
            opener: SocketOpener::new(url)?.with_constructor(constructor),
            token_request: None,
        })
    }

    /// Returns the engine's request for a token, once.
    pub(super) fn take_token_request(&mut self) -> Option<TokenRequest> {
        self.token_request.take()
    }
}

impl Connector for NpmConnector {
    type Socket = RuntimeSocket;

    fn connect(&mut self, subprotocol: &'static str) -> RuntimeSocket {
        self.opener.open(subprotocol)
    }

    fn request_token(&mut self, force: bool) {
        self.token_request = Some(TokenRequest::new(force));
    }
}
