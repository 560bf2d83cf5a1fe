//! Connects an engine with its socket.

use std::task::{Context, Poll};

use crate::engine::{Engine, Millis, SocketAction};
use crate::telemetry;
use crate::transport::{Connector, Socket, SocketEvent};

/// Moves frames between an [`Engine`] and the socket that it asks for. It decides nothing.
#[derive(Debug)]
pub struct EngineIo<C: Connector> {
    /// The engine. Call [`pump`](Self::pump) after every command to it.
    pub engine: Engine,
    connector: C,
    socket: Option<C::Socket>,
}

impl<C: Connector> EngineIo<C> {
    /// Returns one without a socket. The engine asks for one at once.
    pub const fn new(engine: Engine, connector: C) -> Self {
        Self {
            engine,
            connector,
            socket: None,
        }
    }

    /// Returns the connector.
    pub const fn connector(&mut self) -> &mut C {
        &mut self.connector
    }

    /// Does everything that can be done without waiting. The context's waker is called when there
    /// is more to do.
    pub fn pump(&mut self, cx: &mut Context<'_>, now: Millis) {
        loop {
            let received = self.receive(cx, now) | self.receive_token(cx, now);
            let deadline = self.engine.next_deadline();
            if deadline.is_some_and(|deadline| now >= deadline) {
                self.engine.handle_timeout(now);
            }
            let acted = self.act();
            let sent = self.transmit(cx, now);
            if !received && !acted && !sent {
                return;
            }
        }
    }

    fn receive(&mut self, cx: &mut Context<'_>, now: Millis) -> bool {
        let mut any = false;
        while let Some(socket) = &mut self.socket {
            let Poll::Ready(event) = socket.poll_event(cx) else {
                break;
            };
            any = true;
            match event {
                SocketEvent::Opened { subprotocol } => {
                    self.engine.handle_opened(&subprotocol, now);
                }
                SocketEvent::Frame { payload, is_text } => {
                    self.engine.handle_frame(payload.as_ref(), is_text, now);
                }
                SocketEvent::Closed {
                    code,
                    reason,
                    retry_after_ms,
                } => {
                    self.socket = None;
                    telemetry::socket_closed(code, &reason);
                    self.engine.handle_closed(code, &reason, now);
                    if retry_after_ms > 0 {
                        self.engine.postpone_connect(retry_after_ms, now);
                    }
                }
            }
        }
        any
    }

    fn receive_token(&mut self, cx: &mut Context<'_>, now: Millis) -> bool {
        if let Poll::Ready(answer) = self.connector.poll_token(cx) {
            self.engine.handle_token(answer, now);
            return true;
        }
        false
    }

    fn act(&mut self) -> bool {
        let mut any = false;
        while let Some(action) = self.engine.poll_action() {
            any = true;
            match action {
                SocketAction::Connect => {
                    let subprotocol = self.engine.encoding().subprotocol();
                    self.socket = Some(self.connector.connect(subprotocol));
                }
                SocketAction::RequestToken { force } => self.connector.request_token(force),
                SocketAction::Close { code, reason } => {
                    if let Some(socket) = &mut self.socket {
                        socket.close(code, reason);
                    }
                }
                SocketAction::Abandon => self.socket = None,
            }
        }
        any
    }

    fn transmit(&mut self, cx: &mut Context<'_>, now: Millis) -> bool {
        let Some(socket) = &mut self.socket else {
            return false;
        };
        let is_text = self.engine.encoding().is_text();
        let mut any = false;
        loop {
            if socket.poll_ready(cx).is_pending() {
                self.engine.handle_sending();
                break;
            }
            let Some(frame) = self.engine.poll_transmit(now) else {
                break;
            };
            socket.send(frame, is_text);
            any = true;
        }
        // Pending or done: the socket wakes this task when more can be flushed.
        let _ = socket.poll_flush(cx);
        any
    }
}
