//! What the npm package's JavaScript calls.
//!
//! JavaScript holds the promises, by the id of their call, what was pushed, and the timer;
//! everything else is here. There is no executor: JavaScript calls [`Connection::pump`] when the wake function was
//! called, when it has made a call, and when the time has come that the last pump named.
//!
//! Callbacks are called during a pump and must not call back into the connection; they note what
//! they were told and act on it afterwards.

mod events;
mod operations;
mod pending;
mod subscriptions;
mod wake;

use std::task::Context;

use js_sys::{Function, Math};
use streamgate_client::engine::{Config, Engine, Event};
use streamgate_client::engine_io::EngineIo;
use streamgate_protocol::Operation;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::socket::WebSocketConnector;
use wake::Wake;

/// One client's connection.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Connection {
    link: EngineIo<WebSocketConnector>,
    next_id: u64,
    wake: Wake,
    told: Function,
}

#[wasm_bindgen]
impl Connection {
    /// Begins to connect. `wake()` asks for a pump; `told(kind, id, a, b, c)` is called with what
    /// happened, see [`told`](self::told).
    ///
    /// # Errors
    ///
    /// `[code, message, retry]` if the address is not one of a WebSocket.
    #[wasm_bindgen(constructor)]
    pub fn new(
        url: &str,
        constructor: Option<Function>,
        connect_timeout_ms: u32,
        exactly_once: bool,
        wake: Function,
        told: Function,
        now: f64,
    ) -> Result<Self, JsValue> {
        let mut connector = WebSocketConnector::new(url).map_err(|error| events::error(&error))?;
        if let Some(constructor) = constructor {
            connector = connector.with_constructor(constructor);
        }
        let seed = Math::random().to_bits();
        let config = Config {
            seed,
            connect_timeout_ms,
            exactly_once,
            ..Config::default()
        };
        let link = EngineIo::new(Engine::new(config, now as u64), connector);
        Ok(Self {
            link,
            next_id: 1,
            wake: Wake::new(wake),
            told,
        })
    }

    /// Does what can be done now, and returns in how many milliseconds the next pump is due at
    /// the latest; negative for never.
    pub fn pump(&mut self, now: f64) -> f64 {
        let now = now as u64;
        let mut cx = Context::from_waker(self.wake.waker());
        self.link.pump(&mut cx, now);
        while let Some(event) = self.link.engine.poll_event() {
            match event {
                Event::Finished { id, result } => events::finished(&self.told, id, result),
                Event::Pushed { id, item } => events::pushed(&self.told, id, item),
                Event::State(state) => events::state(&self.told, &state),
            }
        }
        match self.link.engine.next_deadline() {
            Some(deadline) => deadline.saturating_sub(now) as f64,
            None => -1.0,
        }
    }

    /// Ends a call without an answer, or a subscription.
    pub fn cancel(&mut self, id: f64) {
        self.link.engine.cancel(id as u64);
    }

    /// What would be tried later is tried at once: the network or the page came back.
    pub fn network_changed(&mut self, now: f64) {
        self.link.engine.network_changed(now as u64);
    }

    /// Ends the connection.
    pub fn close(&mut self, now: f64) {
        self.link.engine.close(now as u64);
    }

    fn call(&mut self, operation: Operation<'static>, now: f64) -> f64 {
        let id = self.new_id();
        self.link.engine.call(id, operation, now as u64);
        id as f64
    }

    fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}
