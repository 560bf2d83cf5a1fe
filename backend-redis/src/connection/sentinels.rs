//! The Sentinels of a master: which server is the master now.
//!
//! A Sentinel may be cut off and not know of a failover yet, or be down together with the master. Each
//! failover has a number, its configuration epoch. At first only the Sentinel that leads a failover
//! knows it. So the backend asks all of them, and takes the newest answer. It never goes back to an
//! older one. The connections stay open, so that asking again takes one round trip.

mod follower;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Value;
use streamgate_protocol::CacheError;
use streamgate_protocol::error::code;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::connection::endpoint::Endpoint;
use crate::connection::host_port::HostPort;
use crate::connection::resp::{self, OpenError, RespConnection};
use crate::connection::url::{SentinelSignIn, SentinelUrl};
use crate::wire::commands;
use crate::wire::errors;
use crate::wire::packing::PackedCommands;
use crate::wire::sentinel::{self, MasterAnswer};

pub(super) use follower::follow_master;

/// How long the answers beyond a majority are waited for: the newest may be among them.
const LATE: Duration = Duration::from_millis(100);

/// How long a majority is waited for once one has answered: the host of another may be gone.
const FEW: Duration = Duration::from_millis(500);

/// The Sentinels that a URL names, and the master that they watch.
pub(super) struct Sentinels {
    members: Vec<Sentinel>,
    /// The newest answer so far.
    known: Mutex<Option<MasterAnswer>>,
    master: String,
    sign_in: SentinelSignIn,
}

/// What Sentinels say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedMaster {
    pub(super) server: HostPort,
    /// Whether a majority answered. Fewer may not know of a newer master.
    pub(super) by_majority: bool,
}

struct Sentinel {
    address: HostPort,
    /// The connection of the last question.
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
            known: Mutex::default(),
            master: url.master,
            sign_in: url.sign_in,
        }
    }

    /// Asks where the master is. Waits for a majority and a little longer, and for at most `limit`.
    ///
    /// # Errors
    ///
    /// None answered. If one refused for good, such as a wrong password, that is the error.
    pub(super) async fn master(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> Result<NamedMaster, OpenError> {
        let mut asked = self.ask_all(endpoint, limit);
        let majority = self.members.len() / 2 + 1;
        let (mut newest, mut answered): (Option<MasterAnswer>, _) = (None, 0);
        let mut refusal = None;
        let mut end = None;
        loop {
            let answer = tokio::select! {
                answer = asked.recv() => answer,
                () = sleep_until_or_never(end) => None,
            };
            match answer {
                Some(Ok(answer)) => {
                    answered += 1;
                    let is_newer = newest.as_ref().is_none_or(|it| it.epoch < answer.epoch);
                    newest = if is_newer { Some(answer) } else { newest };
                    let wait = if answered < majority { FEW } else { LATE };
                    end = Some(Instant::now() + wait);
                }
                Some(Err(error)) => refusal = Some(more_specific(refusal, error)),
                None => break,
            }
        }
        let by_majority = answered >= majority;
        match (newest, refusal) {
            (Some(newest), _) => {
                let by_all = answered == self.members.len();
                let server = self.remember(newest, by_all);
                Ok(NamedMaster {
                    server,
                    by_majority,
                })
            }
            (None, Some(refusal)) => Err(refusal),
            (None, None) => Err(OpenError::Answered(errors::disconnected())),
        }
    }

    /// Asks each in a task of its own, so that one that is slow is still connected for the next time.
    fn ask_all(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> mpsc::Receiver<Result<MasterAnswer, OpenError>> {
        let (answers, receiver) = mpsc::channel(self.members.len());
        for index in 0..self.members.len() {
            let (sentinels, endpoint) = (Arc::clone(self), endpoint.clone());
            let answers = answers.clone();
            tokio::spawn(async move {
                let answer = sentinels.members[index]
                    .ask(&sentinels, &endpoint, limit)
                    .await;
                // Fails if nobody waits any longer.
                let _ = answers.send(answer).await;
            });
        }
        receiver
    }

    /// Returns the newest master of all answers so far. Only if all say something older do their
    /// epochs begin anew.
    fn remember(&self, newest: MasterAnswer, by_all: bool) -> HostPort {
        // Nothing panics under the lock.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_newer = known.as_ref().is_none_or(|it| it.epoch <= newest.epoch);
        if is_newer || by_all {
            *known = Some(newest.clone());
        }
        let MasterAnswer { host, port, .. } = known.clone().unwrap_or(newest);
        HostPort { host, port }
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
                None => {
                    let connection = self.connect(sentinels, endpoint).await?;
                    *self.kept() = Some(connection.clone());
                    connection
                }
            };
            let mut packed = PackedCommands::default();
            sentinel::master(&mut packed, &sentinels.master);
            let answers = exchange(&connection, packed).await?;
            self.decode(sentinels, answers)
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
            let answers = exchange(&connection, packed).await?;
            if let Some(error) = answers.iter().find_map(resp::refusal_of) {
                return Err(self.refused(&error));
            }
        }
        Ok(connection)
    }

    fn decode(
        &self,
        sentinels: &Sentinels,
        answers: Vec<Value>,
    ) -> Result<MasterAnswer, OpenError> {
        if let Some(error) = answers.iter().find_map(resp::refusal_of) {
            if !error.message().contains("No such master") {
                return Err(self.refused(&error));
            }
            let name = &sentinels.master;
            let remedy = format!("it watches no master named '{name}'; correct the URL's path");
            return Err(self.misconfigured(&remedy));
        }
        let unexpected = || OpenError::Answered(errors::unexpected("a master of a Sentinel"));
        sentinel::decode_master(answers).ok_or_else(unexpected)
    }

    fn refused(&self, error: &CacheError) -> OpenError {
        let text = error.message();
        match error.code() {
            code::NOAUTH | code::WRONGPASS => self.misconfigured(&format!(
                "it requires a password, or rejects this one; append \
                 ?sentinel_user=…&sentinel_pass=… to the URL ({text})"
            )),
            code::NOPERM => self.misconfigured(&format!(
                "its user may not ask it; permit +sentinel|master \
                 +sentinel|get-master-addr-by-name with ACL SETUSER ({text})"
            )),
            code::ERR if errors::refuses_command(error) => self.misconfigured(
                "it is not a Sentinel; list Sentinels (default port 26379), or write redis:// for \
                 this server itself",
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
fn more_specific(first: Option<OpenError>, second: OpenError) -> OpenError {
    let is_setting = |error: &OpenError| match error {
        OpenError::Answered(error) => error.code() == code::CONFIG,
        OpenError::Unreachable(_) => false,
    };
    match first {
        Some(first) if is_setting(&first) || !is_setting(&second) => first,
        _ => second,
    }
}

async fn exchange(
    connection: &RespConnection,
    packed: PackedCommands,
) -> Result<Vec<Value>, OpenError> {
    let sent = connection.send(packed, None)?;
    Ok(sent.await.map_err(OpenError::Unreachable)?.values)
}

async fn sleep_until_or_never(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
