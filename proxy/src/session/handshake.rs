//! The first messages of a socket: the client's `hello`, and the server's `welcome`.
//!
//! Requests may follow the hello in the same frame. Nothing else may come before it. If an old
//! session of the client still stands, it ends before the welcome is sent and before the first
//! request begins.

use streamgate_protocol::limits::MIN_CLIENT_FRAME_BYTES;
use streamgate_protocol::message::{Fault, Hello, Identity, Welcome, is_client_id};
use streamgate_protocol::{ServerMessage, close};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::refusal::Refusal;
use crate::session::Session;
use crate::session::graceful_close::TAKE_OVER_TIMEOUT;
use crate::session::outgoing::Outgoing;
use crate::socket::CloseReason;

/// What a client has said of itself.
#[derive(Debug)]
pub(super) struct ClientInfo {
    /// Its name for its whole life.
    pub(super) id: String,
    /// The largest frame that it accepts, in bytes.
    pub(super) max_frame_bytes: u32,
}

/// The state of the handshake. Until it is done, changes of the backend's availability are kept.
pub(super) struct Handshake {
    welcome: Welcome,
    unavailable: Option<Fault>,
    client: Option<ClientInfo>,
    /// That of the hello, until the session takes it.
    token: Option<String>,
    is_welcome: bool,
}

impl Handshake {
    /// Takes the welcome to send, and why the backend is unavailable, if it is.
    pub(super) fn new(welcome: Welcome, unavailable: Option<Fault>) -> Self {
        Self {
            welcome,
            unavailable,
            client: None,
            token: None,
            is_welcome: false,
        }
    }

    /// Returns the client, once it has said hello.
    pub(super) fn client(&self) -> Option<&ClientInfo> {
        self.client.as_ref()
    }

    /// Returns whether messages other than `hello` may come.
    pub(super) fn is_done(&self) -> bool {
        self.client.is_some()
    }

    /// Takes the client's hello.
    pub(super) fn hello(&mut self, hello: &Hello<'_>) -> Result<(), CloseReason> {
        if self.is_done() {
            return Err(malformed("a second hello"));
        }
        if !is_client_id(&hello.client) {
            let why = "invalid client id: it has 1 to 64 characters of A-Z, a-z, 0-9, _ and -";
            return Err(malformed(why));
        }
        if hello.max_frame_bytes < MIN_CLIENT_FRAME_BYTES {
            return Err(malformed("max_frame_bytes is below its minimum of 65536"));
        }
        self.client = Some(ClientInfo {
            id: (*hello.client).to_owned(),
            max_frame_bytes: hello.max_frame_bytes,
        });
        self.token = hello.token.as_ref().map(|token| token.to_string());
        Ok(())
    }

    /// Returns the token of the hello, once.
    pub(super) fn take_token(&mut self) -> Option<String> {
        self.token.take()
    }

    /// Sets who the client is, for the welcome.
    pub(super) fn set_identity(&mut self, identity: Option<Identity>) {
        self.welcome.identity = identity;
    }

    /// Sends the welcome, and the backend's availability if it is unavailable.
    fn welcome(&mut self, outgoing: &mut Outgoing) {
        outgoing.push(&ServerMessage::Welcome(self.welcome.clone()));
        let unavailable = self.unavailable.take();
        if unavailable.is_some() {
            outgoing.availability(unavailable);
        }
        self.is_welcome = true;
    }

    /// Reports a change of the backend's availability: at once, or after the welcome.
    pub(super) fn availability_changed(
        &mut self,
        unavailable: Option<Fault>,
        outgoing: &mut Outgoing,
    ) {
        if self.is_welcome {
            outgoing.availability(unavailable);
        } else {
            self.unavailable = unavailable;
        }
    }
}

impl<S> Session<'_, S> {
    /// Authenticates the client, takes it over from its old session, if there is one, and welcomes
    /// it. If its token waits for keys, the session calls this again.
    pub(super) async fn greet(&mut self) -> Result<(), CloseReason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !self.authenticate()? {
            return Ok(());
        }
        self.hello_place = None;
        self.control.hello_arrived();
        let Some(client) = self.handshake.client() else {
            return Ok(());
        };
        self.outgoing.set_max_frame_bytes(client.max_frame_bytes);
        self.subscriptions.set_bound(self.outgoing.bound());
        if self.register_client().await? {
            self.count_for_subject()?;
        }
        self.handshake.welcome(&mut self.outgoing);
        Ok(())
    }

    /// Registers the client by its subject and tenants, and takes it over from its old session there,
    /// if there is one. Returns `false` if that is done already; otherwise the socket has yet to count
    /// for them.
    ///
    /// # Errors
    ///
    /// The session has to close at once: a newer one has the client.
    pub(super) async fn register_client(&mut self) -> Result<bool, CloseReason> {
        let Some(client) = self.handshake.client() else {
            return Ok(false);
        };
        let name = self.access.client_name(&client.id);
        let registered = self.registration.as_ref();
        if registered.is_some_and(|registration| registration.is_of(&name)) {
            return Ok(false);
        }
        // A client that comes back awaits nothing of this session.
        self.former_registrations
            .retain(|(former, _)| !former.is_of(&name));
        let (registration, mut taken_over, predecessor) = self.clients.register(&name);
        let former = self.registration.replace(registration);
        if let Some(former) = former.filter(|_| self.work.requests() > 0) {
            let until = Instant::now() + TAKE_OVER_TIMEOUT;
            self.former_registrations.push((former, until));
        }
        if let Some(predecessor) = predecessor {
            tracing::debug!(client = client.id, "a client moved to a new socket");
            // On the heap: otherwise every socket holds room for this wait for its whole life.
            Box::pin(predecessor.ended()).await;
            if taken_over.try_recv().is_ok() {
                return Err(self::taken_over());
            }
        }
        self.control.set_taken_over(taken_over);
        // Its predecessor counts no more.
        Ok(true)
    }

    /// Lets newer sessions of the client begin in tenants that it has left, once what was begun there
    /// has ended, or has taken too long.
    pub(super) fn leave_former_tenants(&mut self) {
        if self.former_registrations.is_empty() {
            return;
        }
        let now = Instant::now();
        let is_working = self.work.requests() > 0;
        self.former_registrations
            .retain(|(_, until)| is_working && now < *until);
    }
}

impl<S> Session<'_, S> {
    /// Gives up the place of a client without a hello. Returns the reason to close its socket.
    pub(super) fn make_room(&mut self, refusal: Refusal) -> CloseReason {
        // Its end may take time, for which nobody has to wait.
        self.hello_place = None;
        self.recorder.record_refusal(refusal);
        CloseReason::by_server(close::HEARTBEAT_MISSED, refusal.sentence())
    }
}

/// Returns the reason to close a socket whose client says hello on another one.
pub(super) fn taken_over() -> CloseReason {
    CloseReason::by_server(
        close::TAKEN_OVER,
        "the client has said hello on a newer socket",
    )
}

/// Returns the reason to close the socket that holds most while memory is used up.
pub(super) fn evicted() -> CloseReason {
    CloseReason::ByServer {
        code: close::OUT_OF_MEMORY,
        reason: "the server is out of memory, and this socket held most of it".into(),
        // To await the client's close would mean to take the rest of its message.
        readable: false,
        is_eviction: true,
    }
}

/// Returns the violation of a client whose first message is no hello.
pub(super) fn no_hello() -> CloseReason {
    malformed("the first message must be hello")
}

fn malformed(reason: &'static str) -> CloseReason {
    CloseReason::by_server(close::MALFORMED, reason)
}
