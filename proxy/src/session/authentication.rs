//! The subject of a session: from its token, renewed on the open socket, checked again when the
//! policy changes.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use streamgate_protocol::error::code;
use streamgate_protocol::message::{Fault, Identity, Subscription};
use streamgate_protocol::{CacheError, CacheResult, Operation, ServerMessage, close};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::access::{AccessControl, HELLO_TIMEOUT, MAX_HELLO_BYTES};
use crate::auth::{Authenticator, NextFetch, Subject, TokenDigest, TokenError};
use crate::rate_limits::{LimitKey, Rate};
use crate::refusal::Refusal;
use crate::rights::{DeadLetterTerms, LastPermit, OngoingNeeds, Rights};
use crate::session::Session;
use crate::socket::CloseReason;
use crate::wait_shares::ShareKey;

/// The part of a token's remaining time, without leeway, after which its client should renew it: at random between
/// these, so that clients that connected together do not renew together.
const RENEWAL: std::ops::Range<f64> = 0.5..0.8;

/// How often a client may renew its token, and how often at once: a client does so a few times in a
/// token's life, once more if an attempt failed.
const RENEWAL_RATE: Rate = Rate {
    per_second: 1,
    burst: 5,
};

/// Characters of a hash that keep the producers of subjects apart.
const SUBJECT_MARK_CHARS: usize = 11;

/// Who a session's client is.
pub(super) struct SessionAccess<'b> {
    control: &'b AccessControl,
    subject: Arc<Subject>,
    /// Kept to be verified again.
    token: Option<Box<str>>,
    /// A token that is not verified yet: that of the handshake's `Authorization`, of the hello, or a
    /// new one.
    presented: Option<Box<str>>,
    expires_at: Option<Instant>,
    /// Differs between subjects, and from that of anonymous clients; empty without a policy.
    mark: Box<str>,
    /// Of the subject's rights.
    last_permit: RefCell<LastPermit>,
}

impl<'b> SessionAccess<'b> {
    pub(super) fn new(control: &'b AccessControl, bearer: Option<Box<str>>) -> Self {
        Self {
            control,
            subject: Arc::new(if control.has_policy() {
                Subject::nobody()
            } else {
                Subject::everybody()
            }),
            token: None,
            presented: bearer,
            expires_at: None,
            mark: Box::default(),
            last_permit: RefCell::default(),
        }
    }

    /// Validates a request, if there is a policy: before a prefix changes its names, and because the
    /// backend's own text would be [concealed](super::backend_errors).
    pub(super) fn validate(&self, validate: impl FnOnce() -> CacheResult<()>) -> CacheResult<()> {
        if self.control.has_policy() {
            return validate();
        }
        Ok(())
    }

    /// Checks an operation, and applies the terms of its right. Returns what is checked again if the
    /// rights change while it waits.
    pub(super) fn permit(
        &self,
        operation: &mut Operation<'_>,
    ) -> CacheResult<Option<Box<OngoingNeeds>>> {
        let rights = &self.subject.rights;
        rights.permit_repeated(operation, &self.mark, &mut self.last_permit.borrow_mut())
    }

    /// Does the same for a subscription.
    pub(super) fn permit_subscription(
        &self,
        subscription: &mut Subscription<'_>,
    ) -> CacheResult<(Option<Box<OngoingNeeds>>, DeadLetterTerms)> {
        self.subject.rights.permit_subscription(subscription)
    }

    /// Returns the name under which a client is known: that of another subject, or of a subject with
    /// the same name in another tenant, is another client.
    ///
    /// The mark of producers leaves the tenant out, because their streams differ already, and a subject
    /// that gains a tenant has to keep its dedup windows.
    pub(super) fn client_name(&self, client: &str) -> String {
        let mut name = self.tenant_mark();
        // No client's id contains it, so none can pass for a mark.
        name.push('/');
        name.push_str(client);
        name
    }

    /// Returns what tells the subject from all others, and from itself in other tenants.
    fn tenant_mark(&self) -> String {
        let mut mark = self.mark.to_string();
        for prefix in self.subject.rights.prefixes() {
            mark.push('/');
            mark.push_str(&mark_of(&[b"tenant", prefix]));
        }
        mark
    }

    /// Returns what the client may do.
    pub(super) fn rights(&self) -> &Rights {
        &self.subject.rights
    }

    /// Returns when the token ends.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Returns the reason to close a socket whose token has ended.
    pub(super) fn ended(&self) -> Option<CloseReason> {
        let end = self.expires_at?;
        let expired = || unauthenticated(&TokenError::Expired(Duration::ZERO));
        (Instant::now() >= end).then(expired)
    }

    /// Returns the time that a client has for its hello, if the server has a policy.
    pub(super) fn hello_timeout(&self) -> Option<Duration> {
        self.control.has_policy().then_some(HELLO_TIMEOUT)
    }

    /// Returns the bytes that are kept of tokens.
    pub(super) fn token_bytes(&self) -> usize {
        let tokens = [&self.token, &self.presented];
        tokens.into_iter().flatten().map(|token| token.len()).sum()
    }

    /// Sets the token to authenticate or to renew with.
    pub(super) fn present(&mut self, token: impl Into<Box<str>>) {
        self.presented = Some(token.into());
    }

    /// Becomes the subject of the token that was presented. Returns who the client is, for the
    /// welcome. A token with an unknown key is kept, to be tried again.
    pub(super) fn authenticate(&mut self) -> Result<Option<Identity>, TokenError> {
        let Some(authenticator) = self.control.authenticator() else {
            return Ok(None);
        };
        let subject = judge(&authenticator, self.presented.as_deref())?;
        self.set_subject(subject);
        Ok(self.identity())
    }

    /// Takes the new token of the same subject that was presented. One with an unknown key is kept, to
    /// be tried again.
    pub(super) fn renew(&mut self) -> Result<(), TokenError> {
        let Some(authenticator) = self.control.authenticator() else {
            return Ok(());
        };
        let subject = judge(&authenticator, self.presented.as_deref())?;
        if !subject.is_same_as(&self.subject) {
            return Err(TokenError::OtherSubject);
        }
        self.set_subject(subject);
        Ok(())
    }

    /// Returns the answer to a new token.
    pub(super) fn renewed(&mut self, renewed: Result<(), TokenError>) -> ServerMessage {
        self.presented = None;
        let refused = renewed.err().map(|error| {
            let error = CacheError::backend(code::NOAUTH, error.to_string());
            Fault::from(&error)
        });
        let identity = self.identity();
        ServerMessage::Auth { identity, refused }
    }

    /// Returns the next fetch of the issuer's keys; `None` if the server fetches none.
    pub(super) fn next_fetch(&self) -> Option<NextFetch> {
        let authenticator = self.control.authenticator()?;
        authenticator.jwks()?;
        Some(self.control.key_fetches().next())
    }

    /// Asks for that fetch.
    pub(super) fn ask_for_keys(&self) {
        self.control.key_fetches().ask();
    }

    /// Returns whether the server has authentication.
    pub(super) fn has_policy(&self) -> bool {
        self.control.has_policy()
    }

    /// Looks at the token again, after the policy or the revoked tokens have changed.
    pub(super) fn check_again(&mut self) -> Result<(), TokenError> {
        let Some(authenticator) = self.control.authenticator() else {
            return Ok(());
        };
        let subject = judge(&authenticator, self.token.as_deref())?;
        // The subject of a static token can be edited; that of a socket stays.
        if !subject.is_same_as(&self.subject) {
            return Err(TokenError::OtherSubject);
        }
        self.take_rights_of(subject);
        Ok(())
    }

    /// Becomes the subject of the token that was presented.
    fn set_subject(&mut self, subject: Arc<Subject>) {
        self.mark = match (&subject.issuer, &subject.name) {
            (_, None) => mark_of(&[b"anonymous"]),
            (None, Some(name)) => mark_of(&[b"subject", name.as_bytes()]),
            (Some(issuer), Some(name)) => {
                mark_of(&[b"subject", name.as_bytes(), issuer.as_bytes()])
            }
        };
        self.token = self.presented.take();
        self.take_rights_of(subject);
    }

    fn take_rights_of(&mut self, subject: Arc<Subject>) {
        self.expires_at = end_of(&subject);
        self.last_permit = RefCell::default();
        self.subject = subject;
    }

    fn identity(&self) -> Option<Identity> {
        let name = self.subject.name.as_deref()?;
        let mut identity = Identity::new(name);
        let token = &self.subject.token;
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).ok();
        if let Some(left) = remaining(token.renew_before) {
            let part = RENEWAL.start + fastrand::f64() * (RENEWAL.end - RENEWAL.start);
            identity.renew_after_ms = milliseconds(left.mul_f64(part));
        }
        identity.expires_after_ms = remaining(token.expires_at).and_then(milliseconds);
        Some(identity)
    }
}

impl<S> Session<'_, S> {
    /// Lets the socket count for its subject in its tenants, and no more for those before; or for the
    /// anonymous clients of its address.
    pub(super) fn count_for_subject(&mut self) -> Result<(), CloseReason> {
        let key = if self.access.subject.name.is_some() {
            let key = LimitKey::of_subject(&self.access.tenant_mark());
            if let LimitKey::Subject(hash) = key {
                self.in_flight.join(ShareKey::Subject(hash));
            }
            Some(key)
        } else {
            self.address.map(LimitKey::Anonymous)
        };
        if self.limits.join(key) {
            return Ok(());
        }
        let refusal = Refusal::TooManySocketsOfSubject;
        self.recorder.record_refusal(refusal);
        let (code, reason) = (close::OUT_OF_MEMORY, refusal.sentence());
        Err(CloseReason::by_server(code, reason))
    }

    /// Returns an error if a client without a token sends more than it may, or takes longer, if the
    /// server has a policy.
    ///
    /// Each turn asks, because a client that is always heard never waits for the timer.
    pub(super) fn check_hello(&self) -> Result<(), CloseReason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.awaits_hello() {
            check_hello_bytes(self.socket.incoming_bytes())?;
        }
        let deadline = self.hello_deadline();
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(unauthenticated(&TokenError::Missing));
        }
        Ok(())
    }

    /// Returns whether nothing but a hello is expected, and little of that.
    pub(super) fn awaits_hello(&self) -> bool {
        !self.handshake.is_done() && self.access.hello_timeout().is_some()
    }

    /// Answers a new token. If tokens come too often, the session reads no further for a while: to
    /// verify one takes as long as dozens of adds.
    pub(super) async fn token_renewed(
        &mut self,
        renewed: Result<(), TokenError>,
    ) -> Result<(), CloseReason> {
        let answer = self.access.renewed(renewed);
        self.outgoing.push(&answer);
        let now = Instant::now();
        if let Err(wait) = self.renewals.take(1, RENEWAL_RATE, now) {
            self.read_after = Some(now + wait);
        }
        self.apply_rights().await
    }

    /// Acts on a change of the policy or of the revoked tokens. If the token is no longer valid, the
    /// session leaves.
    ///
    /// # Errors
    ///
    /// The session has to close at once.
    pub(super) async fn access_changed(&mut self) -> Result<(), CloseReason> {
        // Before the hello there is nothing to look at again.
        if self.registration.is_none() {
            return Ok(());
        }
        if let Err(error) = self.access.check_again() {
            self.leaves = Some(unauthenticated(&error));
            return Ok(());
        }
        self.apply_rights().await
    }

    /// Puts subscriptions under the rights of now, and ends what they do not permit. If the tenants
    /// have changed, the socket counts for the new ones; if they have no room for it, the session
    /// leaves.
    ///
    /// # Errors
    ///
    /// The session has to close at once.
    async fn apply_rights(&mut self) -> Result<(), CloseReason> {
        let rights = &self.access.subject.rights;
        for (id, error) in self.in_flight.apply_rights(rights) {
            self.in_flight.cancel_id(id);
            self.outgoing.error(id, &error);
        }
        if self.register_client().await?
            && let Err(reason) = self.count_for_subject()
        {
            self.leaves = Some(reason);
        }
        Ok(())
    }
}

/// Returns an error if a message before the hello, or with it, has more bytes than it may.
pub(super) fn check_hello_bytes(bytes: usize) -> Result<(), CloseReason> {
    if bytes > MAX_HELLO_BYTES {
        let why = "the message with the hello is larger than 64 KiB";
        return Err(CloseReason::by_server(close::FRAME_TOO_LARGE, why));
    }
    Ok(())
}

/// Returns the reason to close a socket whose token is refused, or is valid no more.
pub(super) fn unauthenticated(error: &TokenError) -> CloseReason {
    let code = match error {
        TokenError::NoKeys => close::TRY_AGAIN_LATER,
        _ => close::UNAUTHENTICATED,
    };
    CloseReason::by_server(code, error.to_string())
}

/// Returns the subject of a token, or that of clients without one.
fn judge(authenticator: &Authenticator, token: Option<&str>) -> Result<Arc<Subject>, TokenError> {
    match token {
        Some(token) => authenticator.verify(token, SystemTime::now()),
        None => authenticator
            .anonymous()
            .cloned()
            .ok_or(TokenError::Missing),
    }
}

/// Returns when a subject's token ends.
fn end_of(subject: &Subject) -> Option<Instant> {
    remaining(subject.token.expires_at).map(|left| Instant::now() + left)
}

/// Returns the time until a token's end.
fn remaining(end: Option<SystemTime>) -> Option<Duration> {
    let end = end?;
    Some(end.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Returns what keeps the clients and producers of a subject apart from all others, the anonymous
/// ones too.
fn mark_of(parts: &[&[u8]]) -> Box<str> {
    // With their lengths, so that no two lists have the same text.
    let text: Vec<u8> = parts
        .iter()
        .flat_map(|part| [&part.len().to_le_bytes()[..], part].concat())
        .collect();
    let mut mark = TokenDigest::of(&text).as_base64url();
    mark.truncate(SUBJECT_MARK_CHARS);
    mark.into()
}
