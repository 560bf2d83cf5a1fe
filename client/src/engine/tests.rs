//! The engine against a scripted server, in virtual time.

use streamgate_protocol::error::code;
use streamgate_protocol::message::{Fault, Item, Outcome, Welcome};
use streamgate_protocol::{
    CacheError, CacheResult, ClientMessage, Operation, Reply, ServerMessage,
};

use super::*;

mod backend_availability;
mod bounds;
mod close;
mod connection_loss;
mod random_faults;
mod requests;
mod resend;
mod subscriptions;
mod tokens;

/// An engine and a clock. It collects what the engine returns.
struct TestEngine {
    engine: Engine,
    now: Millis,
    actions: Vec<SocketAction>,
    states: Vec<&'static str>,
    finished: Vec<(u64, CacheResult<Reply>)>,
    pushed: Vec<(u64, Item)>,
    closed_with: Option<u16>,
}

impl TestEngine {
    fn new() -> Self {
        Self::with(ClientConfig {
            backoff_first_ms: 100,
            ..ClientConfig::default()
        })
    }

    fn with(config: ClientConfig) -> Self {
        Self::of(&client_id(), config)
    }

    fn of(client_id: &ClientId, config: ClientConfig) -> Self {
        let engine = Engine::new(client_id, config, 0);
        let mut test = Self {
            engine,
            now: 0,
            actions: vec![],
            states: vec![],
            finished: vec![],
            pushed: vec![],
            closed_with: None,
        };
        test.collect();
        test
    }

    /// Returns one that is connected and welcomed, with nothing collected.
    fn open() -> Self {
        let mut test = Self::new();
        test.accept();
        test.actions.clear();
        test.states.clear();
        test
    }

    fn accept(&mut self) {
        self.engine.handle_opened("streamgate.v1.bin", self.now);
        self.receive(&ServerMessage::Welcome(welcome()));
    }

    fn request(&mut self, id: u64, operation: Operation<'static>) {
        self.engine.request(id, operation, self.now);
        self.collect();
    }

    fn receive(&mut self, message: &ServerMessage) {
        let mut frame = Vec::new();
        Encoding::Binary.append(&mut frame, message);
        self.engine.handle_frame(&frame, false, self.now);
        self.collect();
    }

    fn reply_done(&mut self, id: u64) {
        let outcome = Outcome::Ok(Reply::Done {});
        self.receive(&ServerMessage::Reply { id, outcome });
    }

    fn lose_connection(&mut self, code: u16) {
        self.engine.handle_closed(code, "gone", self.now);
        self.collect();
    }

    /// Advances the clock, stopping at every deadline on the way.
    fn advance(&mut self, ms: u64) {
        let end = self.now + ms;
        let mut last = None;
        while let Some(deadline) = self.engine.next_deadline().filter(|at| *at <= end) {
            if last == Some(deadline) {
                // Only a frame is left to be sent at this moment.
                break;
            }
            last = Some(deadline);
            self.now = self.now.max(deadline);
            self.engine.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    /// Advances the clock until the engine asks for a connection.
    fn advance_until_connect(&mut self) {
        self.actions.clear();
        while !self.actions.contains(&SocketAction::Connect) {
            self.advance(1);
        }
    }

    /// Returns the messages that the engine sends now, a list for each frame, without hellos.
    fn sent(&mut self) -> Vec<Vec<ClientMessage<'static>>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.engine.poll_transmit(self.now) {
            let messages = Encoding::Binary.messages::<ClientMessage<'_>>(&frame);
            let messages: Vec<_> = messages
                .map(Result::unwrap)
                .filter(|message| !matches!(message, ClientMessage::Hello(_)))
                .map(owned)
                .collect();
            if !messages.is_empty() {
                frames.push(messages);
            }
        }
        self.collect();
        frames
    }

    fn codes(&self) -> Vec<(u64, &str)> {
        let code = |result: &CacheResult<Reply>| match result {
            Ok(_) => "OK".to_owned(),
            Err(error) => error.code().to_owned(),
        };
        self.finished
            .iter()
            .map(|(id, result)| (*id, leak(code(result))))
            .collect()
    }

    fn collect(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            self.actions.push(action);
        }
        while let Some(event) = self.engine.poll_event() {
            match event {
                EngineEvent::Finished { id, outcome } => self.finished.push((id, outcome.into())),
                EngineEvent::Pushed { id, item } => self.pushed.push((id, item)),
                EngineEvent::StateChanged(state) => {
                    self.states.push(state.as_str());
                    if let ConnectionState::Closed { code, .. } = state {
                        self.closed_with = Some(code);
                    }
                }
            }
        }
    }
}

fn client_id() -> ClientId {
    ClientId::from_random([7; 16])
}

fn welcome() -> Welcome {
    Welcome::new("test", 1_000, 16 << 20, 1_000)
}

fn add(value: &str) -> Operation<'static> {
    let fields = vec![("f".to_owned().into(), value.to_owned().into())];
    Operation::Add {
        stream: "s".into(),
        fields,
        maxlen: None,
    }
}

fn read() -> Operation<'static> {
    Operation::Read {
        stream: "s".into(),
        last_id: "$".into(),
        count: 1,
        block_ms: Some(0),
    }
}

fn owned(message: ClientMessage<'_>) -> ClientMessage<'static> {
    match message {
        ClientMessage::Request { id, operation } => ClientMessage::Request {
            id,
            operation: operation.into_owned(),
        },
        ClientMessage::Cancel { id } => ClientMessage::Cancel { id },
        ClientMessage::Ping { nonce } => ClientMessage::Ping { nonce },
        ClientMessage::Pong { nonce } => ClientMessage::Pong { nonce },
        ClientMessage::Subscribe {
            id,
            subscription,
            credit,
        } => ClientMessage::Subscribe {
            id,
            subscription: subscription.into_owned(),
            credit,
        },
        ClientMessage::Grant { id, credit } => ClientMessage::Grant { id, credit },
        other => panic!("unknown message {other:?}"),
    }
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
