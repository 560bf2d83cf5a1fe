//! What the npm package's JavaScript calls.
//!
//! JavaScript holds the promises by the id of their request, the items of subscriptions, and the
//! timer; everything else is here. There is no executor and no future per request, which saves a
//! third of the download. JavaScript calls [`Connection::pump`] after the wake function was called,
//! after it made a request, and when the time has come that the last pump returned.
//!
//! The callbacks run during a pump and must not call the connection: they record what they receive,
//! and JavaScript acts on it afterwards.

mod connector;
mod events;
mod operations;
mod pending;
mod subscriptions;
mod values;
mod wake;

use std::task::Context;

use js_sys::Function;
use streamgate_client::internals::{Engine, EngineEvent, EngineIo, TokenError};
use streamgate_client::{ClientConfig, TokenSource};
use streamgate_protocol::Operation;
use streamgate_protocol::message::Subscription;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::client_id::new_client_id;
use connector::NpmConnector;
use wake::WakeFunction;

/// One client's connection.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Connection {
    io: EngineIo<NpmConnector>,
    next_id: u64,
    wake: WakeFunction,
    on_event: Function,
}

#[wasm_bindgen]
impl Connection {
    /// Begins to connect, with sockets of `constructor`. `token` is the client's token,
    /// undefined if it has none, or anything else if `TOKEN` asks for it. `wake()` asks for a pump;
    /// `on_event(kind, id, a, b, c)` receives events, see `events.rs`.
    ///
    /// # Errors
    ///
    /// `[code, message, retry]` if the URL is not one of a WebSocket, or if there is no source of
    /// random numbers.
    #[expect(clippy::too_many_arguments, reason = "JavaScript's values, one by one")]
    #[wasm_bindgen(constructor)]
    pub fn new(
        url: &str,
        constructor: Function,
        connect_timeout_ms: u32,
        exactly_once: bool,
        token: JsValue,
        wake: Function,
        on_event: Function,
        now: f64,
    ) -> Result<Self, JsValue> {
        let connector = NpmConnector::new(url, constructor);
        let drawn = connector.and_then(|connector| Ok((connector, new_client_id()?)));
        let (connector, client_id) = drawn.map_err(|error| events::error_parts(&error))?;
        let config = ClientConfig::default()
            .connect_timeout_ms(connect_timeout_ms)
            .exactly_once(exactly_once)
            .token_source(match token.as_string() {
                Some(token) => TokenSource::Fixed(token),
                None if token.is_undefined() => TokenSource::None,
                None => TokenSource::OnDemand,
            });
        Ok(Self {
            io: EngineIo::new(Engine::new(&client_id, config, now as u64), connector),
            next_id: 1,
            wake: WakeFunction::new(wake),
            on_event,
        })
    }

    /// Does everything that can be done now. Returns in how many milliseconds the next pump is due
    /// at the latest, or a negative number if none is.
    pub fn pump(&mut self, now: f64) -> f64 {
        let now = now as u64;
        let mut cx = Context::from_waker(self.wake.waker());
        self.io.pump(&mut cx, now);
        while let Some(event) = self.io.engine.poll_event() {
            match event {
                EngineEvent::Finished { id, result } => {
                    events::finished(&self.on_event, id, result);
                }
                EngineEvent::Pushed { id, item } => events::pushed(&self.on_event, id, item),
                EngineEvent::StateChanged(state) => {
                    events::state_changed(&self.on_event, &state);
                }
            }
        }
        if let Some(request) = self.io.connector().take_token_request() {
            events::token_requested(&self.on_event, request.force);
        }
        match self.io.engine.next_deadline() {
            Some(deadline) => deadline.saturating_sub(now) as f64,
            None => -1.0,
        }
    }

    /// Cancels a request or a subscription. No event of it follows.
    pub fn cancel(&mut self, id: f64) {
        self.io.engine.cancel(id as u64);
    }

    /// Probes the connection, or reconnects, at once: the network or the page came back.
    pub fn network_changed(&mut self, now: f64) {
        self.io.engine.network_changed(now as u64);
    }

    /// Answers `TOKEN`: 0 with a token, 1 with why there is none now, 2 with why nobody is signed in.
    pub fn token(&mut self, outcome: u32, answer: String, now: f64) {
        let answer = match outcome {
            0 => Ok(answer),
            1 => Err(TokenError::Later(answer)),
            _ => Err(TokenError::SignedOut(answer)),
        };
        self.io.engine.handle_token(answer, now as u64);
    }

    /// Closes the connection.
    pub fn close(&mut self, now: f64) {
        self.io.engine.close(now as u64);
    }

    fn request(&mut self, operation: Operation<'static>, now: f64) -> f64 {
        let id = self.new_id();
        self.io.engine.request(id, operation, now as u64);
        id as f64
    }

    fn subscribe(&mut self, subscription: Subscription<'static>, now: f64) -> f64 {
        let id = self.new_id();
        self.io.engine.subscribe(id, subscription, now as u64);
        id as f64
    }

    fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}
