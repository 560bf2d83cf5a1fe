//! The side that is right: Redis, with the commands of the trait's own table.

use anyhow::{Context, bail};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisResult, Value, cmd};
use streamgate_protocol::{Operation, StreamEntry};
use tokio::task::{JoinHandle, yield_now};

use crate::generate::{MAX_WAITS, Planned, Step};
use crate::ids::{Ids, has_malformed_id};
use crate::outcome::Outcome;

/// More pending entries than a sequence has.
const ALL: u64 = 1_000;

pub(crate) struct RedisSide {
    connection: MultiplexedConnection,
    /// One for each call that waits at the same time.
    waiting: Vec<WaitingConnection>,
}

struct WaitingConnection {
    connection: MultiplexedConnection,
    /// The server's number for it.
    client: i64,
}

impl RedisSide {
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        let client = Client::open(url)?;
        // A wait is not an answer that is late.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let connect = || client.get_multiplexed_async_connection_with_config(&config);
        let mut waiting = Vec::new();
        for _ in 0..MAX_WAITS {
            let mut connection = connect().await?;
            let client = cmd("CLIENT").arg("ID").query_async(&mut connection).await?;
            waiting.push(WaitingConnection { connection, client });
        }
        Ok(Self {
            connection: connect().await?,
            waiting,
        })
    }

    pub(crate) async fn clear(&mut self) -> anyhow::Result<()> {
        Ok(cmd("FLUSHALL").exec_async(&mut self.connection).await?)
    }

    pub(crate) async fn perform(
        &mut self,
        step: &Step,
        ids: &mut Ids,
    ) -> anyhow::Result<Vec<Outcome>> {
        match step {
            Step::One(planned) => {
                let operation = ids.resolve(planned);
                let result = send(&mut self.connection, &operation).await;
                Ok(vec![outcome(&operation, result, ids)?])
            }
            Step::Waits { waits, add } => self.wait_and_add(waits, add, ids).await,
        }
    }

    async fn wait_and_add(
        &mut self,
        waits: &[Planned],
        add: &Planned,
        ids: &mut Ids,
    ) -> anyhow::Result<Vec<Outcome>> {
        let mut asked = Vec::new();
        for (index, planned) in waits.iter().enumerate() {
            let operation = ids.resolve(planned);
            let mut connection = self.waiting[index].connection.clone();
            let sent = operation.clone();
            let call = tokio::spawn(async move { send(&mut connection, &sent).await });
            self.until_blocked_or_answered(self.waiting[index].client, &call)
                .await?;
            asked.push((operation, call, self.waiting[index].client));
        }
        let add = ids.resolve(add);
        let added = send(&mut self.connection, &add).await;
        let mut outcomes = vec![outcome(&add, added, ids)?];
        for (operation, call, client) in asked {
            // Ends the wait as its time would; does nothing if it was answered by the add, which
            // happens before the next command.
            let unblock = cmd("CLIENT").arg("UNBLOCK").arg(client).to_owned();
            unblock.exec_async(&mut self.connection).await?;
            outcomes.push(outcome(&operation, call.await?, ids)?);
        }
        Ok(outcomes)
    }

    async fn until_blocked_or_answered<T>(
        &mut self,
        client: i64,
        call: &JoinHandle<T>,
    ) -> anyhow::Result<()> {
        while !call.is_finished() {
            let list = cmd("CLIENT").arg("LIST").arg("ID").arg(client).to_owned();
            let list: String = list.query_async(&mut self.connection).await?;
            if list.split(' ').any(|word| word == "flags=b") {
                return Ok(());
            }
            yield_now().await;
        }
        Ok(())
    }
}

async fn send(
    connection: &mut MultiplexedConnection,
    operation: &Operation<'_>,
) -> RedisResult<Value> {
    if let Operation::ReadPending { .. } = operation
        && !has_malformed_id(operation)
    {
        return read_pending(connection, operation).await;
    }
    match command(operation) {
        Some(command) => command.query_async(connection).await,
        None => Ok(Value::Okay),
    }
}

/// Lists what is pending for the consumer, and reads each entry: neither counts as a delivery.
async fn read_pending(
    connection: &mut MultiplexedConnection,
    operation: &Operation<'_>,
) -> RedisResult<Value> {
    let Operation::ReadPending {
        stream,
        group,
        consumer,
        after,
        count,
        ..
    } = operation
    else {
        unreachable!("it is a read of pending entries");
    };
    let count = if *count == 0 { ALL } else { *count };
    let list = cmd("XPENDING")
        .arg(&**stream)
        .arg(&**group)
        .arg(format!("({}", &**after))
        .arg("+")
        .arg(count)
        .arg(&**consumer)
        .to_owned();
    let listed: Vec<(String, String, i64, i64)> = list.query_async(connection).await?;
    let mut entries = Vec::new();
    for (id, ..) in listed {
        let range = cmd("XRANGE").arg(&**stream).arg(&id).arg(&id).to_owned();
        let found: Vec<Value> = range.query_async(connection).await?;
        let deleted = || Value::Array(vec![Value::BulkString(id.into_bytes()), Value::Nil]);
        entries.push(found.into_iter().next().unwrap_or_else(deleted));
    }
    Ok(Value::Array(entries))
}

/// Returns the command that the operation means, or `None` if there is nothing to send.
fn command(operation: &Operation<'_>) -> Option<Cmd> {
    if has_malformed_id(operation) {
        return None;
    }
    let mut command = Cmd::new();
    match operation {
        Operation::Add {
            stream,
            fields,
            maxlen,
        } => {
            command.arg("XADD").arg(&**stream);
            if let Some(maxlen) = maxlen {
                command.arg("MAXLEN").arg("~").arg(maxlen);
            }
            command.arg("*");
            for (name, value) in fields {
                command.arg(&**name).arg(&**value);
            }
        }
        Operation::ReadLatest { stream, count } => {
            command
                .arg("XREVRANGE")
                .arg(&**stream)
                .arg("+")
                .arg("-")
                .arg("COUNT")
                .arg(count);
        }
        Operation::Read {
            stream,
            last_id,
            count,
            block_ms,
        } => {
            command.arg("XREAD").arg("COUNT").arg(count);
            block(&mut command, *block_ms);
            command.arg("STREAMS").arg(&**stream).arg(&**last_id);
        }
        Operation::CreateGroup { stream, group, id } => {
            command
                .arg("XGROUP")
                .arg("CREATE")
                .arg(&**stream)
                .arg(&**group)
                .arg(&**id);
            command.arg("MKSTREAM");
        }
        Operation::ReadGroup {
            stream,
            group,
            consumer,
            count,
            block_ms,
        } => {
            command
                .arg("XREADGROUP")
                .arg("GROUP")
                .arg(&**group)
                .arg(&**consumer);
            command.arg("COUNT").arg(count);
            block(&mut command, *block_ms);
            command.arg("STREAMS").arg(&**stream).arg(">");
        }
        Operation::Ack { ids, .. } if ids.is_empty() => return None,
        Operation::Ack { stream, group, ids } => {
            command.arg("XACK").arg(&**stream).arg(&**group);
            for id in ids {
                command.arg(&**id);
            }
        }
        // Not generated: the conformance suite covers the others.
        other => unreachable!("not generated: {other:?}"),
    }
    Some(command)
}

fn block(command: &mut Cmd, block_ms: Option<u64>) {
    if let Some(ms) = block_ms {
        command.arg("BLOCK").arg(ms);
    }
}

fn outcome(
    operation: &Operation<'_>,
    result: RedisResult<Value>,
    ids: &mut Ids,
) -> anyhow::Result<Outcome> {
    if has_malformed_id(operation) {
        // Redis was not asked: some of these ids it takes.
        return Ok(Outcome::Error("ERR".to_owned()));
    }
    let value = match result {
        Ok(value) => value,
        Err(error) => {
            let code = error.code().map(str::to_owned);
            return Ok(Outcome::Error(
                code.with_context(|| format!("not Redis's own: {error}"))?,
            ));
        }
    };
    let stream = operation.stream();
    Ok(match operation {
        Operation::Add { .. } => Outcome::Added(ids.added(stream, &text(value)?)?),
        Operation::ReadLatest { .. }
        | Operation::Read { .. }
        | Operation::ReadGroup { .. }
        | Operation::ReadPending { .. } => {
            let found = match (operation, value) {
                // Nothing in time, nothing new, or a count of 0.
                (_, Value::Nil) => Vec::new(),
                (Operation::ReadLatest { .. } | Operation::ReadPending { .. }, found) => {
                    entries(found)?
                }
                (_, by_stream) => {
                    let [of_stream] = array(by_stream)?;
                    let [_, found] = array(of_stream)?;
                    entries(found)?
                }
            };
            Outcome::entries(found, |id| ids.name(stream, id))
        }
        Operation::Ack { .. } => Outcome::Acknowledged(match value {
            Value::Int(count) => u64::try_from(count)?,
            // Nothing was sent.
            Value::Okay => 0,
            other => bail!("not a count: {other:?}"),
        }),
        _ => Outcome::Done,
    })
}

fn entries(value: Value) -> anyhow::Result<Vec<StreamEntry>> {
    list(value)?
        .into_iter()
        .map(|entry| {
            let [id, fields] = array(entry)?;
            // Nothing of what was deleted while it was pending.
            let fields = match fields {
                Value::Nil => Vec::new(),
                fields => list(fields)?,
            };
            let mut fields = fields.into_iter();
            let mut pairs = Vec::new();
            while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
                pairs.push((text(name)?, text(value)?));
            }
            Ok((text(id)?, pairs))
        })
        .collect()
}

fn list(value: Value) -> anyhow::Result<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        other => bail!("not a list: {other:?}"),
    }
}

fn array<const N: usize>(value: Value) -> anyhow::Result<[Value; N]> {
    let values = list(value)?;
    values
        .try_into()
        .ok()
        .with_context(|| format!("not a list of {N}"))
}

fn text(value: Value) -> anyhow::Result<String> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8(bytes)?),
        other => bail!("not a string: {other:?}"),
    }
}
