//! The runtime's WebSocket: opening, sending and closing are ours, its events come from gloo-net.
//!
//! gloo-net alone does not work on every runtime. The workarounds:
//!
//! - gloo-net sends bytes as a `Blob`, which workerd turns into the text `[object Blob]`. So frames
//!   are sent by [`web_sys::WebSocket`]. They are sent as a copy, because the npm package `ws` may
//!   queue a view of memory that has changed by the time it is written.
//! - gloo-net reports a closed socket as ready. So the socket's own state is checked too.
//! - The socket of Node.js 20 fires `error` without `close` if the server refuses it. So the client
//!   fires a `close` after the error, unless the runtime's comes first.
//! - gloo-net's closures must outlive the socket's last event, or the runtime calls into freed
//!   memory ("closure invoked recursively or after being dropped"). So a task waits for the close of
//!   an abandoned socket. gloo-net reports the close once, and after it nothing for ever, so whoever
//!   receives the close drops the socket.
//! - Deno reports the close code 0 for a broken connection. So 0 becomes 1006.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};
use gloo_net::websocket::futures::WebSocket as SocketEvents;
use gloo_net::websocket::{Message, WebSocketError};
use gloo_timers::callback::Timeout;
use js_sys::{Array, Function, Reflect, Uint8Array};
use streamgate_client::CacheResult;
use streamgate_client::internals::{Socket, SocketEvent};
use streamgate_protocol::close::{ABNORMAL, fit_reason};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{BinaryType, Event, WebSocket};

use crate::url;

/// Opens the runtime's WebSockets, or those of a constructor like it.
#[derive(Debug, Clone)]
pub(crate) struct SocketOpener {
    url: String,
    constructor: Option<Function>,
}

impl SocketOpener {
    pub(crate) fn new(url: &str) -> CacheResult<Self> {
        url::check(url)?;
        Ok(Self {
            url: url.to_owned(),
            constructor: None,
        })
    }

    pub(crate) fn with_constructor(self, constructor: Function) -> Self {
        Self {
            constructor: Some(constructor),
            ..self
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Begins to open a socket, with one subprotocol on offer.
    pub(crate) fn open(&self, subprotocol: &str) -> RuntimeSocket {
        RuntimeSocket(match self.try_open(subprotocol) {
            Ok((socket, events)) => State::Open(OpenSocket::new(socket, events)),
            Err(reason) => State::Failed(reason),
        })
    }

    fn try_open(&self, subprotocol: &str) -> Result<(WebSocket, SocketEvents), String> {
        let socket = match &self.constructor {
            None => WebSocket::new_with_str(&self.url, subprotocol),
            Some(constructor) => {
                let arguments = Array::of2(&self.url.as_str().into(), &subprotocol.into());
                Reflect::construct(constructor, &arguments).map(JsCast::unchecked_into)
            }
        };
        let socket = socket.map_err(describe)?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        match SocketEvents::try_from(socket.clone()) {
            Ok(events) => Ok((socket, events)),
            Err(_) => Err("the WebSocket is not an EventTarget".to_owned()),
        }
    }
}

impl fmt::Debug for RuntimeSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RuntimeSocket")
    }
}

/// A socket. Its JavaScript objects are freed when its close has come.
pub(crate) struct RuntimeSocket(State);

enum State {
    Open(OpenSocket),
    /// It could not be created, for this reason.
    Failed(String),
    Closed,
}

struct OpenSocket {
    socket: WebSocket,
    events: SocketEvents,
    opened: bool,
    /// Fires a `close` if the runtime does not. Cancelled when dropped.
    missing_close: Option<Timeout>,
    close: Option<(u16, String)>,
}

impl OpenSocket {
    fn new(socket: WebSocket, events: SocketEvents) -> Self {
        Self {
            socket,
            events,
            opened: false,
            missing_close: None,
            close: None,
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent<Vec<u8>>> {
        let mut events = Pin::new(&mut self.events);
        if !self.opened
            && events.as_mut().poll_ready(cx).is_ready()
            && self.socket.ready_state() == WebSocket::OPEN
        {
            self.opened = true;
            return Poll::Ready(SocketEvent::Opened {
                subprotocol: self.socket.protocol(),
            });
        }
        loop {
            let event = ready!(events.as_mut().poll_next(cx));
            return Poll::Ready(match event {
                Some(Ok(Message::Bytes(payload))) => SocketEvent::Frame {
                    payload,
                    is_text: false,
                },
                Some(Ok(Message::Text(text))) => SocketEvent::Frame {
                    payload: text.into_bytes(),
                    is_text: true,
                },
                Some(Err(WebSocketError::ConnectionClose(close))) => {
                    let code = if close.code == 0 {
                        ABNORMAL
                    } else {
                        close.code
                    };
                    self.close = Some((code, close.reason));
                    continue;
                }
                Some(Err(_)) => {
                    let socket = self.socket.clone();
                    self.missing_close = Some(Timeout::new(0, move || dispatch_close(&socket)));
                    continue;
                }
                None => {
                    let (code, reason) = self.close.take().unwrap_or((ABNORMAL, String::new()));
                    closed(code, reason)
                }
            });
        }
    }
}

impl RuntimeSocket {
    /// Returns the socket, unless its close has come.
    fn open(&self) -> Option<&WebSocket> {
        match &self.0 {
            State::Open(open) => Some(&open.socket),
            _ => None,
        }
    }
}

impl Socket for RuntimeSocket {
    type Payload = Vec<u8>;

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent<Vec<u8>>> {
        let event = match &mut self.0 {
            State::Open(open) => ready!(open.poll_event(cx)),
            State::Failed(reason) => closed(ABNORMAL, std::mem::take(reason)),
            State::Closed => return Poll::Pending,
        };
        if matches!(event, SocketEvent::Closed { .. }) {
            self.0 = State::Closed;
        }
        Poll::Ready(event)
    }

    /// Ready until the socket is closing: the runtime buffers what it cannot send, and some do not
    /// report how much. The engine bounds the bytes that are unanswered.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        match self.open() {
            // Its events say when it is closed.
            Some(socket) if socket.ready_state() > WebSocket::OPEN => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    fn send(&mut self, frame: Vec<u8>, is_text: bool) {
        let Some(socket) = self.open() else { return };
        // A failure shows as the socket's close.
        let _ = if is_text {
            socket.send_with_str(&String::from_utf8_lossy(&frame))
        } else {
            socket.send_with_js_u8_array(&Uint8Array::from(frame.as_slice()))
        };
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn close(&mut self, code: u16, reason: &str) {
        if let Some(socket) = self.open() {
            // If it is closed already, its events say so.
            let _ = socket.close_with_code_and_reason(code, fit_reason(reason));
        }
    }
}

impl Drop for RuntimeSocket {
    fn drop(&mut self) {
        let State::Open(mut open) = std::mem::replace(&mut self.0, State::Closed) else {
            return;
        };
        // If it is closed already, its events say so.
        let _ = open.socket.close();
        spawn_local(poll_fn(move |cx| {
            while !matches!(ready!(open.poll_event(cx)), SocketEvent::Closed { .. }) {}
            Poll::Ready(())
        }));
    }
}

const fn closed(code: u16, reason: String) -> SocketEvent<Vec<u8>> {
    SocketEvent::Closed {
        code,
        reason,
        retry_after_ms: 0,
    }
}

/// Fires the `close` that the runtime did not.
fn dispatch_close(socket: &WebSocket) {
    let Ok(event) = Event::new("close") else {
        return;
    };
    let set = |name: &str, value: JsValue| Reflect::set(&event, &name.into(), &value);
    let described = set("code", ABNORMAL.into())
        .and_then(|_| set("reason", "".into()))
        .and_then(|_| set("wasClean", false.into()));
    if described.is_ok() {
        // It fails only for an event that is being dispatched.
        let _ = socket.dispatch_event(&event);
    }
}

fn describe(error: JsValue) -> String {
    let message = Reflect::get(&error, &"message".into())
        .ok()
        .and_then(|text| text.as_string());
    message.unwrap_or_else(|| "the runtime has no WebSocket, or refuses to create one".to_owned())
}
