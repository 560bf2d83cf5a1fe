//! What a Rust application connects with: a URL, a constructor of sockets, and tokens.

use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use js_sys::Function;
use streamgate_client::internals::{Connector, TokenError, TokenRequests};
use streamgate_client::{CacheError, CacheResult, TokenRequest, TokenSource};

use crate::socket::{RuntimeSocket, SocketOpener};
use crate::url;

type TokenCall = LocalBoxFuture<'static, CacheResult<String>>;

/// Opens the runtime's WebSockets, or those of a constructor like it.
#[derive(Clone)]
pub struct WebSocketConnector {
    opener: SocketOpener,
    tokens: Tokens,
}

/// Where the client's tokens come from.
#[derive(Clone)]
enum Tokens {
    None,
    Fixed(String),
    OnDemand(Rc<dyn Fn(TokenRequest) -> TokenCall>),
}

impl fmt::Debug for WebSocketConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketConnector")
            .field("opener", &self.opener)
            .finish_non_exhaustive()
    }
}

impl WebSocketConnector {
    /// Returns a connector to this URL.
    ///
    /// # Errors
    ///
    /// `CONFIG` if the URL is not one of a WebSocket.
    pub fn new(url: &str) -> CacheResult<Self> {
        Ok(Self {
            opener: SocketOpener::new(url)?,
            tokens: Tokens::None,
        })
    }

    /// Replaces the global `WebSocket` by another constructor, such as that of npm's `ws`. Its
    /// sockets must be `EventTarget`s.
    #[must_use]
    pub fn with_constructor(self, constructor: Function) -> Self {
        Self {
            opener: self.opener.with_constructor(constructor),
            ..self
        }
    }

    /// Sets the token with which the client authenticates, for its whole life.
    ///
    /// If it ends, or the server refuses it, the client stops with `NOAUTH`. Use
    /// [`with_token_source`](Self::with_token_source) for tokens that end.
    #[must_use]
    pub fn with_token(self, token: impl Into<String>) -> Self {
        Self {
            tokens: Tokens::Fixed(token.into()),
            ..self
        }
    }

    /// Sets a function that returns tokens. The client calls it at each attempt to connect, before a
    /// token ends, and once more if the server refuses a token; one call at a time, which may take
    /// a minute.
    ///
    /// An error with the code `NOAUTH` means that nobody is signed in: the client stops. After any
    /// other error it calls again later.
    #[must_use]
    pub fn with_token_source<F, R>(self, source: F) -> Self
    where
        F: Fn(TokenRequest) -> R + 'static,
        R: Future<Output = CacheResult<String>> + 'static,
    {
        Self {
            tokens: Tokens::OnDemand(Rc::new(move |request| Box::pin(source(request)))),
            ..self
        }
    }

    /// Returns the driver's part, and what the engine knows of the tokens.
    pub(crate) fn into_parts(self) -> CacheResult<(AppConnector, Option<TokenSource>)> {
        let (source, call) = match self.tokens {
            Tokens::None => (None, None),
            Tokens::Fixed(token) => (Some(TokenSource::Fixed(token)), None),
            Tokens::OnDemand(call) => (Some(TokenSource::OnDemand), Some(call)),
        };
        if source.is_some() && !url::keeps_secrets(self.opener.url()) {
            let mut text = String::from("refusing to send a token to '");
            text.push_str(self.opener.url());
            text.push_str("': the connection is not encrypted; use wss://");
            return Err(CacheError::ConfigError(text));
        }
        let connector = AppConnector {
            opener: self.opener,
            call,
            calls: TokenRequests::default(),
        };
        Ok((connector, source))
    }
}

/// Opens sockets for a driver, and calls the owner's source of tokens.
pub(crate) struct AppConnector {
    opener: SocketOpener,
    call: Option<Rc<dyn Fn(TokenRequest) -> TokenCall>>,
    calls: TokenRequests<TokenCall>,
}

impl Connector for AppConnector {
    type Socket = RuntimeSocket;

    fn connect(&mut self, subprotocol: &'static str) -> RuntimeSocket {
        self.opener.open(subprotocol)
    }

    fn request_token(&mut self, force: bool) {
        if let Some(call) = &self.call {
            self.calls.begin(call(TokenRequest::new(force)));
        }
    }

    fn poll_token(&mut self, cx: &mut Context<'_>) -> Poll<Result<String, TokenError>> {
        self.calls.poll(cx)
    }
}
