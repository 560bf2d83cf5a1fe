//! What the npm package's JavaScript calls: one engine for each instance of the module.
//!
//! JavaScript owns the socket, the timer, the promises by the id of their request, and the items of
//! subscriptions. Every decision is here. Nothing is called from here, so the module has no imports,
//! and JavaScript needs no generated glue: numbers are arguments, and everything else is bytes in
//! the binary encoding of `SPEC.md`.
//!
//! JavaScript writes bytes to the place that [`input`] returns, and calls the function that takes
//! them. After any number of calls, and when the time has come that the last pump returned, it calls
//! [`pump`], and reads at [`output`] what it has to do.

use std::cell::RefCell;

use streamgate_client::internals::{
    ClientId, Engine, EngineEvent, NewRequest, SocketAction, TokenError,
};
use streamgate_client::{ClientConfig, ConnectionState, TokenSource};
use streamgate_protocol::codec::Encode;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{Bytes, close};
use wasm_bindgen::prelude::wasm_bindgen;

/// The bytes of a client's id.
const ID_BYTES: usize = 16;

/// An output of more bytes is not kept: it was a large reply.
const MAX_KEPT_OUTPUT_BYTES: usize = 64 * 1024;

/// What JavaScript has to do: see [`pump`]. `npm/src/actions.js` has the same numbers.
mod action {
    pub(super) const CONNECT: u64 = 0;
    pub(super) const CLOSE: u64 = 1;
    pub(super) const ABANDON: u64 = 2;
    pub(super) const REQUEST_TOKEN: u64 = 3;
    pub(super) const SEND: u64 = 4;
    pub(super) const FINISH: u64 = 5;
    pub(super) const PUSH: u64 = 6;
    pub(super) const ENTER_STATE: u64 = 7;
}

/// The engine of the instance, and what passes between it and JavaScript.
struct Connection {
    engine: Engine,
    output: Vec<u8>,
}

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Lives as long as the instance, so there is no code that drops it.
    static CONNECTION: RefCell<Option<&'static mut Connection>> = const { RefCell::new(None) };
}

/// Returns where to write this many bytes for the next call.
#[wasm_bindgen]
pub fn input(length: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|input| {
        *input = vec![0; length];
        input.as_mut_ptr()
    })
}

/// Begins to connect. The input is 128 random bits, then the token if `token` is 1; 0 for none, 2
/// for tokens on demand. `retry` says whether another attempt follows if the first one fails.
#[wasm_bindgen]
pub fn open(connect_timeout_ms: u32, exactly_once: bool, token: u32, retry: bool, now: f64) {
    let input = take_input();
    let (bits, text) = input.split_at_checked(ID_BYTES).unwrap_or_default();
    let mut id = [0; ID_BYTES];
    id.copy_from_slice(bits);
    let config = ClientConfig::default()
        .connect_timeout_ms(connect_timeout_ms)
        .exactly_once(exactly_once)
        .retry_first_connect(retry)
        .token_source(match token {
            0 => TokenSource::None,
            1 => TokenSource::Fixed(text_of(text)),
            _ => TokenSource::OnDemand,
        });
    let connection = Connection {
        engine: Engine::new(&ClientId::from_random(id), config, now as u64),
        output: Vec::new(),
    };
    CONNECTION.set(Some(Box::leak(Box::new(connection))));
}

/// Starts the request whose operation is the input.
#[wasm_bindgen]
pub fn request(id: f64, now: f64) {
    let request = NewRequest::operation(&take_input());
    with_engine(|engine| engine.request(id as u64, request, now as u64));
}

/// Starts the subscription that is the input.
#[wasm_bindgen]
pub fn subscribe(id: f64, now: f64) {
    let request = NewRequest::subscription(&take_input());
    with_engine(|engine| engine.subscribe(id as u64, request, now as u64));
}

/// Records that the owner of a subscription took an item of this cost.
#[wasm_bindgen]
pub fn consumed(id: f64, entries: f64, bytes: f64) {
    let taken = Credit {
        entries: entries as u64,
        bytes: bytes as u64,
    };
    with_engine(|engine| engine.consumed(id as u64, taken));
}

/// Cancels a request or a subscription. Nothing of it follows.
#[wasm_bindgen]
pub fn cancel(id: f64) {
    with_engine(|engine| engine.cancel(id as u64));
}

/// Closes the client, once its requests are done or this time is over.
#[wasm_bindgen]
pub fn close(timeout_ms: f64, now: f64) {
    with_engine(|engine| engine.close(timeout_ms as u64, now as u64));
}

/// Ends the client at once.
#[wasm_bindgen]
pub fn abort(now: f64) {
    with_engine(|engine| engine.abort(now as u64));
}

/// Probes the connection, or reconnects, at once: the network or the page came back.
#[wasm_bindgen]
pub fn network_changed(now: f64) {
    with_engine(|engine| engine.network_changed(now as u64));
}

/// The socket is open. The input is the subprotocol.
#[wasm_bindgen]
pub fn opened(now: f64) {
    let subprotocol = text_of(&take_input());
    with_engine(|engine| engine.handle_opened(&subprotocol, now as u64));
}

/// The socket received a frame, which is the input.
#[wasm_bindgen]
pub fn received(is_text: bool, now: f64) {
    let frame = take_input();
    with_engine(|engine| engine.handle_frame(&frame, is_text, now as u64));
}

/// The socket is closed, or could not be opened. The input is the reason.
#[wasm_bindgen]
pub fn closed(code: u32, now: f64) {
    let reason = text_of(&take_input());
    with_engine(|engine| engine.handle_closed(code as u16, &reason, now as u64));
}

/// Answers `REQUEST_TOKEN`. The input is the token if `outcome` is 0, why there is none now if it is
/// 1, or why nobody is signed in if it is 2.
#[wasm_bindgen]
pub fn token(outcome: u32, now: f64) {
    let answer = text_of(&take_input());
    let answer = match outcome {
        0 => Ok(answer),
        1 => Err(TokenError::Later(answer)),
        _ => Err(TokenError::SignedOut(answer)),
    };
    with_engine(|engine| engine.handle_token(answer, now as u64));
}

/// Writes what JavaScript has to do to the output. Returns in how many milliseconds the next pump
/// is due at the latest, or a negative number if none is. `can_send` is false while the socket
/// closes.
///
/// The output is any number of actions, each a number and what belongs to it:
///
/// | action | with |
/// |---|---|
/// | `CONNECT`: open a socket | |
/// | `CLOSE`: close the socket | code, reason |
/// | `ABANDON`: drop the socket | |
/// | `REQUEST_TOKEN`: ask the owner for a token | whether it must be another one |
/// | `SEND`: send a frame | its bytes |
/// | `FINISH`: a request or a subscription is over | id, `Outcome` |
/// | `PUSH`: a subscription received an item | id, entries and bytes of credit, `Item` |
/// | `ENTER_STATE`: the state changed | state, close code or 0, reason, code of an error |
#[wasm_bindgen]
pub fn pump(can_send: bool, now: f64) -> f64 {
    with(|Connection { engine, output }| {
        output.clear();
        output.shrink_to(MAX_KEPT_OUTPUT_BYTES);
        let now = now as u64;
        loop {
            let due = engine.next_deadline();
            if due.is_some_and(|due| now >= due) {
                engine.handle_timeout(now);
            }
            let written = output.len();
            while let Some(action) = engine.poll_action() {
                write_action(output, &action);
            }
            if can_send {
                while let Some(frame) = engine.poll_transmit(now) {
                    action::SEND.write_binary(output);
                    Bytes::from(&*frame).write_binary(output);
                }
            } else {
                engine.handle_sending();
            }
            if output.len() == written {
                break;
            }
        }
        while let Some(event) = engine.poll_event() {
            write_event(output, event);
        }
        let due = engine.next_deadline();
        due.map_or(-1.0, |due| due.saturating_sub(now) as f64)
    })
}

/// Returns where the last pump has written its output.
#[wasm_bindgen]
pub fn output() -> *const u8 {
    with(|connection| connection.output.as_ptr())
}

/// Returns how many bytes the output has.
#[wasm_bindgen]
pub fn output_length() -> usize {
    with(|connection| connection.output.len())
}

fn write_action(output: &mut Vec<u8>, action: &SocketAction) {
    match action {
        SocketAction::Connect => action::CONNECT.write_binary(output),
        SocketAction::Close { code, reason } => {
            action::CLOSE.write_binary(output);
            u64::from(*code).write_binary(output);
            reason.write_binary(output);
        }
        SocketAction::Abandon => action::ABANDON.write_binary(output),
        SocketAction::RequestToken { force } => {
            action::REQUEST_TOKEN.write_binary(output);
            force.write_binary(output);
        }
    }
}

fn write_event(output: &mut Vec<u8>, event: EngineEvent) {
    match event {
        EngineEvent::Finished { id, outcome } => {
            action::FINISH.write_binary(output);
            id.write_binary(output);
            outcome.write_binary(output);
        }
        EngineEvent::Pushed { id, item } => {
            let cost = item.cost();
            action::PUSH.write_binary(output);
            id.write_binary(output);
            cost.entries.write_binary(output);
            cost.bytes.write_binary(output);
            item.write_binary(output);
        }
        EngineEvent::StateChanged(state) => {
            action::ENTER_STATE.write_binary(output);
            write_state(output, &state);
        }
    }
}

fn write_state(output: &mut Vec<u8>, state: &ConnectionState) {
    let (close, reason, code) = match state {
        ConnectionState::Degraded { code, message } => (0, Some(&**message), Some(&**code)),
        ConnectionState::Reconnecting { code, reason } => (*code, Some(&**reason), None),
        ConnectionState::Closed { code, reason } => {
            (*code, Some(&**reason), Some(close::error_code(*code)))
        }
        _ => (0, None, None),
    };
    state.as_str().write_binary(output);
    u64::from(close).write_binary(output);
    reason.write_binary(output);
    code.write_binary(output);
}

/// Returns the input, which is used once.
fn take_input() -> Vec<u8> {
    INPUT.take()
}

/// Returns a text that JavaScript encoded.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_default()
}

fn with_engine(call: impl FnOnce(&mut Engine)) {
    with(|connection| call(&mut connection.engine));
}

/// # Panics
///
/// Before [`open`], which JavaScript calls first.
#[expect(clippy::panic, reason = "JavaScript calls `open` first")]
fn with<T>(call: impl FnOnce(&mut Connection) -> T) -> T {
    CONNECTION.with_borrow_mut(|connection| match connection {
        Some(connection) => call(connection),
        None => panic!("there is no engine yet"),
    })
}
