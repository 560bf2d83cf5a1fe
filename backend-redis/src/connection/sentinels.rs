//! The Sentinels of a master: which server is the master now.
//!
//! A Sentinel may be cut off and not know of a failover yet, or be down together with the master. So
//! all are asked, and of a majority's answers the newest counts: Sentinels number their failovers, as
//! configuration epochs. The connections stay open, so that asking again takes one round trip.

mod follower;

use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::Value;
use streamgate_protocol::CacheError;
use streamgate_protocol::error::code;

use crate::connection::endpoint::Endpoint;
use crate::connection::host_port::HostPort;
use crate::connection::resp::{self, OpenError, RespConnection};
use crate::connection::url::{SentinelSignIn, SentinelUrl};
use crate::wire::commands;
use crate::wire::errors;
use crate::wire::packing::PackedCommands;
use crate::wire::sentinel::{self, MasterAnswer};

pub(super) use follower::follow_master;

/// The Sentinels that a URL names, and the master that they watch.
pub(super) struct Sentinels {
    members: Vec<Sentinel>,
    master: String,
    sign_in: SentinelSignIn,
}

struct Sentinel {
    address: HostPort,
    /// The connection that has answered.
    connection: Mutex<Option<RespConnection>>,
}

impl Sentinels {
    pub(super) fn new(url: SentinelUrl) -> Self {
        let member = |address| Sentinel {
            address,
            connection: Mutex::default(),
        };
        Self {
            members: url.addresses.into_iter().map(member).collect(),
            master: url.master,
            sign_in: url.sign_in,
        }
    }

    /// Asks where the master is. Returns once a majority has answered, or all have answered or
    /// failed.
    ///
    /// # Errors
    ///
    /// None answered. If one refused for good, such as a wrong password, that is the error.
    pub(super) async fn master(&self, endpoint: &Endpoint) -> Result<HostPort, OpenError> {
        // Half of the time for a connection: the master has to be reached after this.
        let limit = endpoint.settings().connect_timeout / 2;
        let asked = self.members.iter().map(|it| it.ask(self, endpoint, limit));
        let mut asked: FuturesUnordered<_> = asked.collect();
        let majority = self.members.len() / 2 + 1;
        let (mut newest, mut answered): (Option<MasterAnswer>, _) = (None, 0);
        let mut refusal = None;
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(answer) => {
                    answered += 1;
                    let is_newer = newest.as_ref().is_none_or(|it| it.epoch < answer.epoch);
                    newest = if is_newer { Some(answer) } else { newest };
                }
                Err(error) => refusal = Some(graver(refusal, error)),
            }
            if answered == majority {
                break;
            }
        }
        match (newest, refusal) {
            (Some(MasterAnswer { host, port, .. }), _) => Ok(HostPort { host, port }),
            (None, Some(refusal)) => Err(refusal),
            (None, None) => Err(OpenError::Answered(errors::disconnected())),
        }
    }
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "master '{}' of the Sentinels ", self.master)?;
        for (index, member) in self.members.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", member.address)?;
        }
        Ok(())
    }
}

impl Sentinel {
    async fn ask(
        &self,
        sentinels: &Sentinels,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> Result<MasterAnswer, OpenError> {
        let asking = async {
            let kept = self.kept().clone().filter(|kept| !kept.is_lost());
            let connection = match kept {
                Some(kept) => kept,
                None => self.connect(sentinels, endpoint).await?,
            };
            let mut packed = PackedCommands::default();
            sentinel::master(&mut packed, &sentinels.master);
            let answer = exchange(&connection, packed).await?;
            let answer = self.decode(sentinels, answer)?;
            *self.kept() = Some(connection);
            Ok(answer)
        };
        let asked = tokio::time::timeout(limit, asking).await;
        let asked = asked.unwrap_or_else(|_| Err(OpenError::timed_out()));
        if asked.is_err() {
            // Perhaps half open: the next question gets a new one.
            *self.kept() = None;
        }
        asked
    }

    async fn connect(
        &self,
        sentinels: &Sentinels,
        endpoint: &Endpoint,
    ) -> Result<RespConnection, OpenError> {
        let connection = resp::connect_to(&self.address, endpoint, None, || ()).await?;
        let SentinelSignIn { username, password } = &sentinels.sign_in;
        if let Some(password) = password {
            let mut packed = PackedCommands::default();
            commands::auth(&mut packed, username.as_deref(), password);
            let answer = exchange(&connection, packed).await?;
            if let Some(error) = resp::into_refusal(answer) {
                return Err(self.refused(&error));
            }
        }
        Ok(connection)
    }

    fn decode(&self, sentinels: &Sentinels, answer: Value) -> Result<MasterAnswer, OpenError> {
        if let Value::ServerError(error) = &answer {
            let error = errors::answered(error);
            let text = error.message();
            if text.contains("No such master") {
                let name = &sentinels.master;
                let remedy = format!("it watches no master named '{name}'; correct the URL's path");
                return Err(self.misconfigured(&remedy));
            }
            return Err(self.refused(&error));
        }
        let unexpected = || OpenError::Answered(errors::unexpected("a master of a Sentinel"));
        sentinel::decode_master(answer).ok_or_else(unexpected)
    }

    fn refused(&self, error: &CacheError) -> OpenError {
        let text = error.message();
        match error.code() {
            code::NOAUTH | code::WRONGPASS => self.misconfigured(&format!(
                "it refuses to be asked without its password, or with this one; write \
                 ?sentinel_user=…&sentinel_pass=… at the end of the URL ({text})"
            )),
            code::NOPERM => self.misconfigured(&format!(
                "its user may not ask it; permit +sentinel|master with ACL SETUSER ({text})"
            )),
            code::ERR if errors::refuses_command(error) => self.misconfigured(
                "it is no Sentinel; name Sentinels, with port 26379 by default, or write redis:// \
                 for this server itself",
            ),
            _ => OpenError::Answered(error.clone()),
        }
    }

    fn misconfigured(&self, remedy: &str) -> OpenError {
        let address = &self.address;
        let error = format!("cannot use the Sentinel at {address}: {remedy}");
        OpenError::Answered(CacheError::ConfigError(error))
    }

    fn kept(&self) -> MutexGuard<'_, Option<RespConnection>> {
        // Nothing panics under the lock.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns that of two errors which says more: a mistake in the settings goes before all others.
fn graver(first: Option<OpenError>, second: OpenError) -> OpenError {
    let is_setting = |error: &OpenError| match error {
        OpenError::Answered(error) => error.code() == code::CONFIG,
        OpenError::Unreachable(_) => false,
    };
    match first {
        Some(first) if is_setting(&first) || !is_setting(&second) => first,
        _ => second,
    }
}

async fn exchange(connection: &RespConnection, packed: PackedCommands) -> Result<Value, OpenError> {
    let sent = connection.send(packed, None)?;
    let answers = sent.await.map_err(OpenError::Unreachable)?;
    let answer = answers.values.into_iter().next();
    answer
        .ok_or_else(|| OpenError::Unreachable(io::Error::from(io::ErrorKind::UnexpectedEof).into()))
}
