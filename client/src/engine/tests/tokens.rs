//! Tokens: in the hello, asked for at each connection, renewed on the open socket.

use streamgate_protocol::close;
use streamgate_protocol::message::Identity as TokenIdentity;

use super::*;
use crate::engine::{TokenError, TokenSource};

/// The half-life of the tokens in these tests.
const RENEW_AFTER: u64 = 60_000;

fn on_demand() -> TestEngine {
    let mut test = TestEngine::with(ClientConfig {
        backoff_first_ms: 100,
        token_source: TokenSource::OnDemand,
        ..ClientConfig::default()
    });
    test.take_token_request();
    test.answer("first");
    test
}

/// One whose owner was asked for its first token.
fn connecting() -> TestEngine {
    let mut test = TestEngine::with(ClientConfig {
        token_source: TokenSource::OnDemand,
        retry_first_connect: true,
        ..ClientConfig::default()
    });
    assert_eq!(test.take_token_request(), Some(false));
    test
}

/// One whose first token was accepted.
fn open_on_demand() -> TestEngine {
    let mut test = on_demand();
    test.accept_for("ann");
    assert_eq!(test.hello_token().as_deref(), Some("first"));
    test.actions.clear();
    test.states.clear();
    test
}

impl TestEngine {
    fn answer(&mut self, token: &str) {
        self.engine.handle_token(Ok(token.to_owned()), self.now);
        self.collect();
    }

    fn answer_error(&mut self, error: TokenError) {
        self.engine.handle_token(Err(error), self.now);
        self.collect();
    }

    fn accept_for(&mut self, subject: &str) {
        self.engine.handle_opened("streamgate.v1.bin", self.now);
        let mut welcome = welcome();
        welcome.identity = Some(identity_of(subject));
        self.receive(&ServerMessage::Welcome(welcome));
    }

    fn auth(&mut self, refused: Option<Fault>) {
        self.receive(&ServerMessage::Auth {
            identity: Some(identity_of("ann")),
            refused,
        });
    }

    /// Returns the token of the hello that is sent now.
    fn hello_token(&mut self) -> Option<String> {
        let frame = self.engine.poll_transmit(self.now).unwrap();
        let first = Encoding::Binary
            .messages::<ClientMessage<'_>>(&frame)
            .next();
        let Some(Ok(ClientMessage::Hello(hello))) = first else {
            panic!("{first:?}");
        };
        hello.token.map(|token| token.to_string())
    }

    /// Returns the tokens of the `authenticate` messages that are sent now.
    fn authentications(&mut self) -> Vec<String> {
        let mut tokens = Vec::new();
        while let Some(frame) = self.engine.poll_transmit(self.now) {
            for message in Encoding::Binary.messages::<ClientMessage<'_>>(&frame) {
                if let Ok(ClientMessage::Authenticate { token }) = message {
                    tokens.push(token.to_string());
                }
            }
        }
        self.collect();
        tokens
    }

    /// Advances the clock, with a server that is heard, until the engine asks for a token.
    fn advance_until_token_request(&mut self) -> (u64, bool) {
        let start = self.now;
        loop {
            if let Some(force) = self.take_token_request() {
                return (self.now - start, force);
            }
            self.advance(100);
            let _ = self.sent_kinds();
            self.receive(&ServerMessage::Pong { nonce: 0 });
            assert!(self.now - start < 1_000_000, "no request for a token");
        }
    }

    /// Advances the clock with a server that is heard.
    fn stay_open(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.advance(100);
            let _ = self.sent_kinds();
            self.receive(&ServerMessage::Pong { nonce: 0 });
        }
    }

    fn take_token_request(&mut self) -> Option<bool> {
        let is_request =
            |action: &SocketAction| matches!(action, SocketAction::RequestToken { .. });
        let place = self.actions.iter().position(is_request)?;
        match self.actions.remove(place) {
            SocketAction::RequestToken { force } => Some(force),
            _ => None,
        }
    }

    fn sent_kinds(&mut self) -> usize {
        std::iter::from_fn(|| self.engine.poll_transmit(self.now)).count()
    }

    fn is_connecting(&self) -> bool {
        self.actions.contains(&SocketAction::Connect)
    }
}

fn identity_of(subject: &str) -> TokenIdentity {
    let mut identity = TokenIdentity::new(subject);
    identity.renew_after_ms = Some(RENEW_AFTER);
    identity.expires_after_ms = Some(2 * RENEW_AFTER);
    identity
}

fn refusal() -> Option<Fault> {
    let error = CacheError::backend(code::NOAUTH, "token_expired: the token ended 5 s ago");
    Some(Fault::from(&error))
}

#[test]
fn a_fixed_token_is_in_every_hello_and_its_refusal_stops_the_client() {
    let mut test = TestEngine::with(ClientConfig {
        token_source: TokenSource::Fixed("t".to_owned()),
        ..ClientConfig::default()
    });
    assert_eq!(test.actions, [SocketAction::Connect]);
    test.accept_for("ann");
    assert_eq!(test.hello_token().as_deref(), Some("t"));
    test.lose_connection(close::ABNORMAL);
    test.advance_until_connect();
    test.accept_for("ann");
    assert_eq!(test.hello_token().as_deref(), Some("t"));
    test.request(1, read());
    test.lose_connection(close::UNAUTHENTICATED);
    assert_eq!(test.codes(), [(1, "NOAUTH")]);
    assert_eq!(test.closed_with, Some(close::UNAUTHENTICATED));
}

#[test]
fn a_client_without_tokens_sends_none() {
    let mut test = TestEngine::new();
    test.accept();
    assert_eq!(test.hello_token(), None);
    test.auth(None);
    test.advance(RENEW_AFTER * 3);
    assert_eq!(test.take_token_request(), None);
}

#[test]
fn the_owner_is_asked_before_each_attempt_to_connect() {
    let mut test = TestEngine::with(ClientConfig {
        token_source: TokenSource::OnDemand,
        ..ClientConfig::default()
    });
    assert_eq!(test.actions, [SocketAction::RequestToken { force: false }]);
    test.actions.clear();
    test.answer("first");
    assert_eq!(test.actions, [SocketAction::Connect]);
    test.accept_for("ann");
    assert_eq!(test.hello_token().as_deref(), Some("first"));
    test.lose_connection(close::ABNORMAL);
    test.actions.clear();
    test.advance(200);
    assert_eq!(test.actions, [SocketAction::RequestToken { force: false }]);
    test.answer("first");
    test.accept_for("ann");
    assert_eq!(test.hello_token().as_deref(), Some("first"));
}

#[test]
fn a_token_is_renewed_on_the_open_socket() {
    let mut test = open_on_demand();
    assert_eq!(test.advance_until_token_request(), (RENEW_AFTER, true));
    assert_eq!(test.authentications(), [""; 0]);
    test.answer("second");
    assert_eq!(test.authentications(), ["second"]);
    test.auth(None);
    assert_eq!(test.advance_until_token_request().0, RENEW_AFTER);
    assert!(test.states.is_empty(), "{:?}", test.states);
}

#[test]
fn an_owner_without_a_new_token_is_asked_again_before_the_end() {
    let mut test = open_on_demand();
    test.advance_until_token_request();
    test.answer("first");
    assert_eq!(test.authentications(), [""; 0]);
    let (pause, force) = test.advance_until_token_request();
    assert_eq!((pause, force), (RENEW_AFTER / 2, true));
    test.answer_error(TokenError::Later("the issuer is down".to_owned()));
    assert_eq!(test.advance_until_token_request().0, RENEW_AFTER / 4);
    test.answer("second");
    assert_eq!(test.authentications(), ["second"]);
}

#[test]
fn a_renewal_that_is_refused_leaves_the_socket_open_and_the_owner_is_asked_again() {
    let mut test = open_on_demand();
    test.advance_until_token_request();
    test.answer("second");
    assert_eq!(test.authentications(), ["second"]);
    test.auth(refusal());
    assert!(test.advance_until_token_request().1);
    test.answer("second");
    assert_eq!(
        test.authentications(),
        [""; 0],
        "the refused token is not sent again"
    );
    test.advance_until_token_request();
    test.answer("third");
    assert_eq!(test.authentications(), ["third"]);
    assert!(test.states.is_empty(), "{:?}", test.states);
}

#[test]
fn after_a_refusal_the_client_asks_once_more_and_repeats_what_was_in_flight() {
    for close_code in [close::UNAUTHENTICATED, close::FORBIDDEN] {
        let mut test = open_on_demand();
        test.request(1, read());
        assert_eq!(test.sent().len(), 1);
        test.lose_connection(close_code);
        assert_eq!(test.states, ["reconnecting"], "{close_code}");
        assert!(test.advance_until_token_request().1);
        test.answer("second");
        assert!(test.is_connecting());
        test.accept_for("ann");
        assert_eq!(test.hello_token().as_deref(), Some("second"));
        assert_eq!(test.codes(), []);
    }
}

#[test]
fn a_client_whose_handshake_is_refused_stops_whatever_tokens_its_owner_has() {
    for (status, code) in [(401, "NOAUTH"), (403, "NOPERM")] {
        for was_open in [false, true] {
            let mut test = if was_open {
                open_on_demand()
            } else {
                on_demand()
            };
            test.request(1, read());
            test.lose_connection(status);
            assert_eq!(test.closed_with, Some(status), "was open: {was_open}");
            assert_eq!(test.codes(), [(1, code)]);
            assert_eq!(test.take_token_request(), None);
        }
    }
}

#[test]
fn a_client_whose_owner_has_only_the_refused_token_stops() {
    let mut test = open_on_demand();
    test.request(1, read());
    test.lose_connection(close::UNAUTHENTICATED);
    test.advance_until_token_request();
    test.answer("first");
    assert_eq!(test.codes(), [(1, "NOAUTH")]);
    assert_eq!(test.closed_with, Some(close::UNAUTHENTICATED));
    assert!(!test.is_connecting());
}

#[test]
fn a_first_connection_ends_with_the_second_refusal() {
    let mut test = on_demand();
    test.lose_connection(close::UNAUTHENTICATED);
    assert_eq!(test.closed_with, None);
    test.advance_until_token_request();
    test.answer("second");
    test.lose_connection(close::UNAUTHENTICATED);
    assert_eq!(test.closed_with, Some(close::UNAUTHENTICATED));
}

#[test]
fn an_owner_that_is_signed_out_stops_the_client() {
    let signed_out = || TokenError::SignedOut("NOAUTH nobody is signed in".to_owned());
    let mut connecting = TestEngine::with(ClientConfig {
        token_source: TokenSource::OnDemand,
        ..ClientConfig::default()
    });
    connecting.request(1, read());
    connecting.answer_error(signed_out());
    assert_eq!(connecting.codes(), [(1, "NOAUTH")]);
    assert_eq!(connecting.closed_with, Some(close::UNAUTHENTICATED));

    let mut open = open_on_demand();
    open.request(1, read());
    let _ = open.sent();
    open.advance_until_token_request();
    open.answer_error(signed_out());
    assert_eq!(open.codes(), [(1, "NOAUTH")]);
    open.lose_connection(close::NORMAL);
    assert_eq!(open.closed_with, Some(close::UNAUTHENTICATED));
}

#[test]
fn an_owner_that_has_no_token_yet_is_asked_again_like_after_a_lost_connection() {
    let mut test = open_on_demand();
    test.lose_connection(close::ABNORMAL);
    test.advance_until_token_request();
    test.answer_error(TokenError::Later("the issuer is down".to_owned()));
    test.advance_until_token_request();
    test.answer("second");
    assert!(test.is_connecting());

    let mut first = TestEngine::with(ClientConfig {
        token_source: TokenSource::OnDemand,
        ..ClientConfig::default()
    });
    first.answer_error(TokenError::Later("the issuer is down".to_owned()));
    assert_eq!(first.closed_with, Some(close::ABNORMAL));
}

#[test]
fn an_owner_that_does_not_answer_is_asked_again_after_the_token_timeout() {
    let mut test = connecting();
    test.advance(60_000);
    assert_eq!(test.take_token_request(), None);
    test.answer("late");
    assert!(!test.is_connecting(), "the request was given up");
    test.advance_until_token_request();
    test.answer("second");
    assert!(test.is_connecting());
    test.accept_for("ann");
    assert_eq!(test.hello_token().as_deref(), Some("second"));
}

#[test]
fn an_issuer_that_is_slower_than_the_connect_timeout_is_awaited() {
    let mut test = connecting();
    test.advance(59_000);
    assert_eq!(test.states, ["connecting"]);
    test.answer("first");
    assert!(test.is_connecting());
    test.advance(9_000);
    test.accept_for("ann");
    assert_eq!(test.hello_token().as_deref(), Some("first"));
}

#[test]
fn an_owner_is_asked_once_for_a_renewal_until_it_answers() {
    let mut test = open_on_demand();
    test.advance_until_token_request();
    test.auth(None);
    test.stay_open(3 * RENEW_AFTER);
    assert_eq!(test.take_token_request(), None);
    test.answer("second");
    assert_eq!(test.authentications(), ["second"]);
}

#[test]
fn a_request_outlives_its_connection_and_its_answer_does_for_the_next() {
    let mut test = open_on_demand();
    test.advance_until_token_request();
    test.lose_connection(close::ABNORMAL);
    test.advance(5_000);
    assert_eq!(test.take_token_request(), None, "one call at a time");
    test.answer("second");
    assert!(test.is_connecting());
    test.accept_for("ann");
    assert_eq!(test.hello_token().as_deref(), Some("second"));
}

#[test]
fn a_request_from_before_the_machine_slept_is_given_up() {
    let mut test = open_on_demand();
    test.advance_until_token_request();
    test.now += 3_600_000;
    test.lose_connection(close::UNAUTHENTICATED);
    assert!(test.advance_until_token_request().1);
    test.answer("second");
    assert!(test.is_connecting());
}

#[test]
fn an_error_of_a_request_that_was_given_up_changes_nothing() {
    let mut test = connecting();
    test.advance(60_000);
    test.answer_error(TokenError::SignedOut("long ago".to_owned()));
    assert_eq!(test.closed_with, None);
    let mut open = open_on_demand();
    open.answer_error(TokenError::SignedOut("long ago".to_owned()));
    assert!(open.states.is_empty(), "{:?}", open.states);
}

#[test]
fn a_renewal_that_came_too_late_does_for_the_next_connection() {
    let mut test = open_on_demand();
    test.advance_until_token_request();
    test.answer("second");
    assert_eq!(test.authentications(), ["second"]);
    // The server had ended the first token before it read the second.
    test.lose_connection(close::UNAUTHENTICATED);
    assert!(test.advance_until_token_request().1);
    test.answer("second");
    assert_eq!(test.closed_with, None);
    assert!(test.is_connecting());
    test.accept_for("ann");
    assert_eq!(test.hello_token().as_deref(), Some("second"));
    // Now it has judged the second.
    test.lose_connection(close::UNAUTHENTICATED);
    test.advance_until_token_request();
    test.answer("second");
    assert_eq!(test.closed_with, Some(close::UNAUTHENTICATED));
}

#[test]
fn a_renewal_that_was_accepted_is_the_token_that_a_close_refuses() {
    let mut test = open_on_demand();
    test.advance_until_token_request();
    test.answer("second");
    assert_eq!(test.authentications(), ["second"]);
    test.auth(None);
    test.lose_connection(close::UNAUTHENTICATED);
    test.advance_until_token_request();
    test.answer("second");
    assert_eq!(test.closed_with, Some(close::UNAUTHENTICATED));
}

#[test]
fn a_client_that_is_forbidden_twice_in_a_row_stops() {
    for welcomed in [false, true] {
        let mut test = open_on_demand();
        test.request(1, read());
        test.lose_connection(close::FORBIDDEN);
        assert!(test.advance_until_token_request().1);
        test.answer("second");
        if welcomed {
            test.accept_for("ann");
            test.stay_open(1_000);
        }
        test.lose_connection(close::FORBIDDEN);
        let closed_with = Some(close::FORBIDDEN);
        assert_eq!(test.closed_with, closed_with, "welcomed: {welcomed}");
        assert_eq!(test.codes(), [(1, "NOPERM")]);
        assert_eq!(test.take_token_request(), None);
    }
}

#[test]
fn a_client_that_is_forbidden_again_after_a_connection_that_lasted_asks_again() {
    let mut test = open_on_demand();
    for token in ["second", "third", "fourth"] {
        test.lose_connection(close::FORBIDDEN);
        test.advance_until_token_request();
        test.answer(token);
        test.accept_for("ann");
        test.stay_open(6_000);
    }
    assert_eq!(test.closed_with, None);
}

#[test]
fn new_tokens_that_are_refused_are_followed_by_others() {
    let mut test = open_on_demand();
    for token in ["second", "third", "fourth"] {
        test.lose_connection(close::UNAUTHENTICATED);
        test.advance_until_token_request();
        test.answer(token);
        assert!(test.is_connecting());
    }
    assert_eq!(test.closed_with, None);
}

#[test]
fn an_answer_that_nobody_asked_for_changes_nothing() {
    let mut test = open_on_demand();
    test.answer("unasked");
    assert_eq!(test.authentications(), [""; 0]);
    test.lose_connection(close::ABNORMAL);
    test.answer("unasked");
    assert!(!test.is_connecting());
}
