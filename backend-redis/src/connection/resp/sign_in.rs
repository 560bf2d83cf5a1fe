//! The first commands on a connection: signs in, turns `CLIENT TRACKING` on, loads the script of
//! idempotent adds, tries what the user may do, and learns what kind of server this is.

use redis::{ConnectionInfo, Value};
use streamgate_protocol::{CacheError, Retry};

use super::connection::RespConnection;
use super::open::OpenError;
use super::server_kind;
use crate::connection::endpoint::{Endpoint, LIBRARY};
use crate::wire::packing::PackedCommands;
use crate::wire::scripts::{self, idempotent_add};
use crate::wire::{answers, commands, errors};

/// What Redis told at the sign-in.
#[derive(Debug, Default)]
pub(in crate::connection) struct ServerFacts {
    /// Identifies the connection, unless Redis does not tell.
    pub(in crate::connection) client: Option<ClientId>,
    /// Whether this Redis is a replica, as far as it tells.
    pub(in crate::connection) is_replica: bool,
    /// Why Redis never runs the script of idempotent adds: it refuses the script, a command of it,
    /// or the keys of dedup windows. A temporary refusal, for want of memory perhaps, is none: the
    /// script is loaded again when Redis turns out not to know it.
    pub(in crate::connection) dedup_refusal: Option<CacheError>,
    /// Why Redis runs no scripts that are sent whole; absent if it does.
    pub(in crate::connection) eval_refusal: Option<CacheError>,
    /// Why Redis does not report what `XINFO STREAM` does; absent if it does.
    pub(in crate::connection) stream_info_refusal: Option<CacheError>,
    /// Why Redis does not answer `INFO`; absent if it does.
    pub(in crate::connection) info_refusal: Option<CacheError>,
    /// Redis's `maxmemory-policy`; absent if Redis does not tell.
    pub(in crate::connection) eviction_policy: Option<String>,
    /// Why Redis does not push invalidations; absent if it does.
    pub(in crate::connection) tracking_refusal: Option<CacheError>,
}

/// A connection, as one run of a Redis knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::connection) struct ClientId {
    pub(in crate::connection) id: u64,
    /// Redis numbers connections anew each time it starts.
    pub(in crate::connection) run_id: String,
}

/// Signs in.
pub(super) async fn sign_in(
    connection: &RespConnection,
    endpoint: &Endpoint,
    is_tracking_wanted: bool,
) -> Result<ServerFacts, OpenError> {
    let mut protocol = Protocol::Resp3;
    let mut answers = exchange(connection, endpoint, protocol, is_tracking_wanted).await?;
    if answers.sign_in.first().is_some_and(is_unknown_protocol) {
        // An old server, or a proxy before one. It pushes nothing.
        protocol = Protocol::Resp2;
        answers = exchange(connection, endpoint, protocol, false).await?;
    }
    let SignInAnswers {
        sign_in,
        info,
        load,
        evalsha,
        eval,
        stream_info,
        tracking,
        pong,
    } = answers;
    let hello = match protocol {
        Protocol::Resp3 => sign_in.first().map(answers::hello).unwrap_or_default(),
        Protocol::Resp2 => answers::Hello::default(),
    };
    let info_refusal = refusal_of(&info);
    let info = answers::server_info(info);
    // Before anything else: a Sentinel refuses most commands.
    if let Some(remedy) = server_kind::refuse(&hello, &info) {
        let refused = errors::misconfigured(&endpoint.address(), &remedy);
        return Err(OpenError::Answered(refused));
    }
    let tracking_refusal = match protocol {
        Protocol::Resp3 => tracking.into_iter().find_map(into_refusal),
        Protocol::Resp2 => Some(errors::no_resp3()),
    };
    let sign_in_refusal = sign_in.into_iter().find_map(into_refusal);
    let load_refusal = into_refusal(load);
    // A client that may not load scripts is refused that in any state of Redis, so only the answer
    // to `PING` tells whether Redis serves.
    let mut unavailable = into_refusal(pong).into_iter().chain(load_refusal.clone());
    if let Some(error) = sign_in_refusal.or_else(|| unavailable.find(errors::serves_nobody)) {
        return Err(OpenError::Answered(error));
    }
    let client = hello.client_id.zip(info.run_id);
    let missing = scripts::missing_commands(&eval);
    let dedup_refusals = [
        load_refusal,
        into_refusal(evalsha).filter(|error| error.code() != "NOSCRIPT"),
        missing.map(|commands| errors::missing_commands(&commands)),
    ];
    let mut dedup_refusals = dedup_refusals.into_iter().flatten();
    Ok(ServerFacts {
        client: client.map(|(id, run_id)| ClientId { id, run_id }),
        is_replica: hello.is_replica,
        dedup_refusal: dedup_refusals.find(|error| error.retry() != Retry::Later),
        eval_refusal: into_refusal(eval).filter(errors::refuses_command),
        stream_info_refusal: into_refusal(stream_info).filter(errors::refuses_command),
        info_refusal,
        eviction_policy: info.eviction_policy,
        tracking_refusal: tracking_refusal.filter(|_| is_tracking_wanted),
    })
}

/// Returns the error that an answer is, if it is one.
pub(in crate::connection) fn into_refusal(answer: Value) -> Option<CacheError> {
    refusal_of(&answer)
}

pub(in crate::connection) fn refusal_of(answer: &Value) -> Option<CacheError> {
    match answer {
        Value::ServerError(error) => Some(errors::answered(error)),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Resp3,
    Resp2,
}

/// The answers that matter. Redis may refuse the client's name and library: they only describe the
/// connection.
struct SignInAnswers {
    /// The answers without which the connection is of no use.
    sign_in: Vec<Value>,
    info: Value,
    load: Value,
    evalsha: Value,
    eval: Value,
    stream_info: Value,
    tracking: Vec<Value>,
    pong: Value,
}

/// Sends all commands as one pipeline.
async fn exchange(
    connection: &RespConnection,
    endpoint: &Endpoint,
    protocol: Protocol,
    is_tracking_wanted: bool,
) -> Result<SignInAnswers, OpenError> {
    let mut packed = PackedCommands::default();
    write_sign_in(&mut packed, endpoint.info(), protocol);
    let signing_in = packed.commands;
    commands::set_client_name(&mut packed, &endpoint.settings().client_name);
    commands::set_library(&mut packed, LIBRARY);
    let naming = packed.commands - signing_in;
    commands::server_info(&mut packed);
    idempotent_add::load(&mut packed);
    idempotent_add::try_call(&mut packed);
    scripts::try_script(&mut packed);
    commands::info(&mut packed, idempotent_add::PROBE_KEY);
    if is_tracking_wanted {
        commands::turn_tracking_on(&mut packed);
        // This tries whether Redis allows it, too.
        commands::arm_next(&mut packed);
    }
    commands::ping(&mut packed);
    let sent = connection.send(packed, None)?;
    let mut values = sent.await.map_err(OpenError::Unreachable)?.values;
    let pong = values.pop().unwrap_or_default();
    let mut values = values.into_iter();
    Ok(SignInAnswers {
        sign_in: values.by_ref().take(signing_in).collect(),
        info: values.by_ref().nth(naming).unwrap_or_default(),
        load: values.next().unwrap_or_default(),
        evalsha: values.next().unwrap_or_default(),
        eval: values.next().unwrap_or_default(),
        stream_info: values.next().unwrap_or_default(),
        tracking: values.collect(),
        pong,
    })
}

/// Signs in with `HELLO`, which Redis answers while it loads, and refuses without a password where
/// it needs one. A server that does not know `HELLO` takes `AUTH`.
fn write_sign_in(to: &mut PackedCommands, info: &ConnectionInfo, protocol: Protocol) {
    let settings = info.redis_settings();
    let (username, password) = (settings.username(), settings.password());
    match protocol {
        Protocol::Resp3 => {
            let username = username.unwrap_or("default");
            commands::hello(to, password.map(|password| [username, password]));
        }
        Protocol::Resp2 => {
            if let Some(password) = password {
                commands::auth(to, username, password);
            }
        }
    }
    if settings.db() != 0 {
        commands::select(to, settings.db());
    }
}

/// Returns whether the answer to `HELLO` is that the server does not speak RESP3, or does not know
/// the command.
fn is_unknown_protocol(hello: &Value) -> bool {
    let Value::ServerError(error) = hello else {
        return false;
    };
    let details = error.details().unwrap_or_default().to_ascii_lowercase();
    error.code() == "NOPROTO" || (error.code() == "ERR" && details.contains("unknown command"))
}
