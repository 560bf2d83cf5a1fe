//! Why the server refuses a connection, a request or a socket: counted by reason, and logged at a
//! bounded rate.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log_limit::{LogLimit, Permitted};

/// Declares the reasons with their names in the metrics and their sentences in the log.
macro_rules! refusals {
    ($($refusal:ident $name:literal $sentence:literal;)*) => {
        /// Why the server refuses.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Refusal {
            $(#[doc = $sentence] $refusal,)*
        }

        impl Refusal {
            pub(crate) const ALL: &[Self] = &[$(Self::$refusal,)*];

            /// Returns the reason's name in the metrics.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$refusal => $name,)*
                }
            }

            /// Returns the reason for people.
            pub(crate) fn sentence(self) -> &'static str {
                match self {
                    $(Self::$refusal => $sentence,)*
                }
            }
        }
    };
}

refusals! {
    HandshakeTimeout "handshake_timeout" "no whole request came in time";
    ResponseTimeout "response_timeout" "the peer did not read its response in time";
    TooManyHandshakes "too_many_handshakes"
        "too many connections without a socket are open; the oldest makes room";
    TooManyHandshakesOfAddress "too_many_handshakes_of_address"
        "too many connections of one address without a socket are open; the oldest makes room";
    TooManyHellos "too_many_hellos" "too many sockets without a hello are open; the oldest makes room";
    TooManyHellosOfAddress "too_many_hellos_of_address"
        "too many sockets of one address without a hello are open; the oldest makes room";
    TooManySockets "too_many_sockets" "too many sockets are open";
    TooManySocketsOfAddress "too_many_sockets_of_address"
        "too many sockets of one address are open; if it is a proxy, name it with --trusted-proxy";
    TooManyWaitsOfSocket "too_many_waits_of_socket"
        "this connection has its share of the waits and subscriptions that the server takes; end some";
    TooManyWaitsOfAddress "too_many_waits_of_address"
        "the sockets of one address have their share of the waits and subscriptions; if it is a \
         proxy, name it with --trusted-proxy";
    TooManyWaitsOfSubject "too_many_waits_of_subject"
        "the sockets of one subject have their share of the waits and subscriptions";
    TooManyConnectionsOfAddress "too_many_connections_of_address"
        "one address connects too often; if it is a proxy, name it with --trusted-proxy";
    TooManySocketsOfSubject "too_many_sockets_of_subject"
        "too many sockets of this subject are open; close some";
    TooManyRequestsOfSocket "too_many_requests_of_socket"
        "this connection makes too many requests a second";
    TooManyBytesOfSocket "too_many_bytes_of_socket"
        "this connection sends too many bytes a second";
    TooManyRequestsOfSubject "too_many_requests_of_subject"
        "the connections of this subject make too many requests a second";
    TooManyBytesOfSubject "too_many_bytes_of_subject"
        "the connections of this subject send too many bytes a second";
    TooManyWindowsOfSubject "too_many_windows_of_subject"
        "the clients of this subject begin too many dedup windows a second";
    ShuttingDown "shutting_down" "the server shuts down";
    InvalidProxyHeader "invalid_proxy_header" "the header of the PROXY protocol is invalid";
    PlainHttp "plain_http" "this port speaks TLS, and the client does not; use https:// or wss://";
    TlsHandshake "tls_handshake" "the TLS handshake failed";
    InvalidRequest "invalid_request" "the request is no valid HTTP";
    InvalidHost "invalid_host" "the request has no Host, or an invalid one";
    UnknownHost "unknown_host"
        "the request's Host is no name of this server; use an address or localhost, or add the name \
         to allowed_hosts (--allowed-hosts)";
    ForeignOrigin "foreign_origin"
        "pages of this Origin may not use this server; add it to allowed_origins \
         (--allowed-origins), or set public_origin (--public-origin) if a proxy changes the scheme \
         or the host";
    UnknownAdminHost "unknown_admin_host"
        "the request's Host is no name of the admin listener; use an address or localhost, or add the \
         name with --admin-host";
    TargetTooLong "target_too_long" "the request's target is too long";
    SecretInUrl "secret_in_url" "the URL has a token, which proxies would log";
    InvalidHandshake "invalid_handshake" "the WebSocket handshake is invalid";
    UnknownSubprotocol "unknown_subprotocol" "no known WebSocket subprotocol is offered";
}

/// Counts and logs refusals.
#[derive(Debug)]
pub(crate) struct Refusals(Vec<OneReason>);

/// The refusals for one reason.
#[derive(Debug)]
struct OneReason {
    count: AtomicU64,
    log: LogLimit,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        let reasons = Refusal::ALL.iter().map(|_| OneReason {
            count: AtomicU64::new(0),
            log: LogLimit::new(),
        });
        Self(reasons.collect())
    }

    /// Counts a refusal, and logs it unless there are too many lines of its kind.
    pub(crate) fn record(&self, refusal: Refusal, peer: Option<SocketAddr>) {
        let Some(reason) = self.0.get(refusal as usize) else {
            return;
        };
        reason.count.fetch_add(1, Ordering::Relaxed);
        if let Some(Permitted { suppressed }) = reason.log.permit() {
            // Absent fields are not logged.
            let peer = peer.map(tracing::field::display);
            let name = refusal.name();
            tracing::info!(
                peer,
                reason = name,
                suppressed,
                "refused: {}",
                refusal.sentence()
            );
        }
    }

    /// Returns how often the server refused for a reason.
    pub(crate) fn count(&self, refusal: Refusal) -> u64 {
        let reason = self.0.get(refusal as usize);
        reason.map_or(0, |reason| reason.count.load(Ordering::Relaxed))
    }

    /// Returns how many lines were suppressed so far.
    pub(crate) fn suppressed_lines(&self) -> u64 {
        self.0
            .iter()
            .map(|reason| reason.log.total_suppressed())
            .sum()
    }

    /// Logs how many lines were suppressed that no later line has reported.
    pub(crate) fn log_suppressed(&self) {
        for (refusal, reason) in Refusal::ALL.iter().zip(&self.0) {
            if let Some(suppressed) = reason.log.take_suppressed() {
                let (name, sentence) = (refusal.name(), refusal.sentence());
                let what = "suppressed lines";
                tracing::info!(reason = name, suppressed, "refused: {sentence}: {what}");
            }
        }
    }
}
