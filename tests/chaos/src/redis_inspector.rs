//! Inspects Redis directly, past all relays and proxies.

use std::collections::BTreeMap;
use std::time::SystemTime;

use redis::aio::MultiplexedConnection;
use redis::streams::StreamInfoGroupsReply;
use redis::{AsyncCommands, RedisResult};

use streamgate_protocol::subscribe::{DEAD_LETTER_FIELDS, DEAD_LETTER_REASON};

use streamgate_protocol::EntryId;

use crate::journal::{DeadLetter, EntryTag, Group, StreamContents};
use crate::pending_history::PendingState;
use crate::scenario::{DEAD_LETTERS, FIELD, GROUP, HUGE_PADDING, PendingPolicy, STREAMS, id_of};
use crate::tokens::REVOKED;

/// Entries that are read at once.
const PAGE: usize = 10_000;

/// Most pending entries that are looked at one by one: more than a run has huge ones.
const MAX_HUGE_PENDING: usize = 100;

/// The keys of dedup windows.
const DEDUP_WINDOWS: &str = "streamgate:once:*";

/// A direct connection to Redis.
pub(crate) struct RedisInspector {
    connection: MultiplexedConnection,
    /// Bytes of the longest value of each pending entry that was looked at.
    paddings: BTreeMap<(&'static str, EntryId), usize>,
}

/// An entry as Redis returns it: names and values in turns.
type Raw = (String, Vec<String>);

impl RedisInspector {
    pub(crate) async fn open(url: &str) -> RedisResult<Self> {
        let client = redis::Client::open(url)?;
        // A busy machine is no failure.
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        Ok(Self {
            connection: connection.await?,
            paddings: BTreeMap::new(),
        })
    }

    /// Creates the groups at the start of a run.
    pub(crate) async fn create_groups(&mut self) -> RedisResult<()> {
        for stream in STREAMS.iter().filter(|stream| stream.group.is_some()) {
            let _: () = self
                .connection
                .xgroup_create_mkstream(stream.name, GROUP, "0")
                .await?;
        }
        Ok(())
    }

    /// Returns the last id of every stream; `0-0` if it is empty.
    pub(crate) async fn last_ids(&mut self) -> RedisResult<Vec<EntryId>> {
        let mut ids = Vec::new();
        for stream in &STREAMS {
            let last: Vec<Raw> = redis::cmd("XREVRANGE")
                .arg(&[stream.name, "+", "-", "COUNT", "1"])
                .query_async(&mut self.connection)
                .await?;
            ids.push(
                last.first()
                    .map_or_else(EntryId::default, |(id, _)| id_of(id)),
            );
        }
        Ok(ids)
    }

    /// Evicts all dedup windows, and returns their number.
    pub(crate) async fn evict_dedup_windows(&mut self) -> RedisResult<usize> {
        let (mut keys, mut cursor) = (Vec::<String>::new(), 0_u64);
        loop {
            let (next, page): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg(&["MATCH", DEDUP_WINDOWS, "COUNT", "1000"])
                .query_async(&mut self.connection)
                .await?;
            keys.extend(page);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        if keys.is_empty() {
            return Ok(0);
        }
        self.connection.del(keys).await
    }

    /// Revokes the tokens of a field that were issued before this second.
    pub(crate) async fn revoke(&mut self, field: &str) -> RedisResult<()> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        self.connection.hset(REVOKED, field, now.as_secs()).await
    }

    /// Returns the last delivered id of every group, and the number of its pending entries that a
    /// client can get.
    pub(crate) async fn groups(&mut self) -> RedisResult<Vec<(EntryId, usize)>> {
        let mut groups = Vec::new();
        for stream in STREAMS.iter().filter(|stream| stream.group.is_some()) {
            let (last_delivered, pending) = self.group(stream.name).await?;
            let mut pending_for_clients = pending;
            if pending <= MAX_HUGE_PENDING {
                for id in self.pending(stream.name).await?.into_keys() {
                    pending_for_clients -=
                        usize::from(self.padding(stream.name, id).await? >= HUGE_PADDING);
                }
            }
            groups.push((last_delivered, pending_for_clients));
        }
        Ok(groups)
    }

    /// Returns the contents of all streams.
    pub(crate) async fn contents(&mut self) -> RedisResult<Vec<StreamContents>> {
        let mut contents = Vec::new();
        for stream in &STREAMS {
            let mut content = StreamContents {
                name: stream.name.to_owned(),
                is_trimmed: stream.maxlen.is_some(),
                ..StreamContents::default()
            };
            for entry in self.entries(stream.name).await? {
                match &entry.1[..] {
                    [name, value]
                        if name == FIELD
                            && let Some(text) = EntryTag::parse(value) =>
                    {
                        content.entries.push((id_of(&entry.0), text));
                    }
                    _ => content.unexpected.push(format!("{entry:?}")),
                }
            }
            if let Some(rules) = stream.group {
                let mut group = Group {
                    last_delivered: self.group(stream.name).await?.0,
                    pending: self.pending(stream.name).await?,
                    reclaims: rules == PendingPolicy::Reclaim,
                    ..Group::default()
                };
                if group.reclaims {
                    for entry in self.entries(DEAD_LETTERS).await? {
                        match parse_dead_letter(&entry, stream.name) {
                            Some(letter) => group.dead.push(letter),
                            None => group.unexpected.push(format!("{entry:?}")),
                        }
                    }
                }
                content.group = Some(group);
            }
            contents.push(content);
        }
        Ok(contents)
    }

    /// Returns the bytes of the longest value of an entry.
    pub(crate) async fn padding(
        &mut self,
        stream: &'static str,
        id: EntryId,
    ) -> RedisResult<usize> {
        if let Some(known) = self.paddings.get(&(stream, id)) {
            return Ok(*known);
        }
        let id_text = id.to_string();
        let entries: Vec<Raw> = redis::cmd("XRANGE")
            .arg(&[stream, &id_text, &id_text])
            .query_async(&mut self.connection)
            .await?;
        let values = entries.iter().flat_map(|(_, fields)| fields);
        let padding = values.map(String::len).max().unwrap_or_default();
        self.paddings.insert((stream, id), padding);
        Ok(padding)
    }

    async fn group(&mut self, stream: &str) -> RedisResult<(EntryId, usize)> {
        let groups: StreamInfoGroupsReply = self.connection.xinfo_groups(stream).await?;
        let group = groups.groups.iter().find(|group| group.name == GROUP);
        Ok(group.map_or_else(Default::default, |group| {
            (id_of(&group.last_delivered_id), group.pending)
        }))
    }

    async fn entries(&mut self, stream: &str) -> RedisResult<Vec<Raw>> {
        let (mut entries, mut from) = (Vec::<Raw>::new(), "-".to_owned());
        loop {
            let page: Vec<Raw> = redis::cmd("XRANGE")
                .arg(&[stream, &from, "+", "COUNT", &PAGE.to_string()])
                .query_async(&mut self.connection)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(entries);
            };
            from = format!("({last}");
            entries.extend(page);
        }
    }

    /// Returns the pending entries of a stream's group, and their consumers.
    pub(crate) async fn pending(
        &mut self,
        stream: &str,
    ) -> RedisResult<BTreeMap<EntryId, PendingState>> {
        let (mut pending, mut from) = (BTreeMap::new(), "-".to_owned());
        loop {
            let page: Vec<(String, String, u64, u64)> = redis::cmd("XPENDING")
                .arg(&[stream, GROUP, &from, "+", &PAGE.to_string()])
                .query_async(&mut self.connection)
                .await?;
            let Some((last, ..)) = page.last() else {
                return Ok(pending);
            };
            from = format!("({last}");
            let page = page.into_iter();
            pending.extend(page.map(|(id, owner, idle, deliveries)| {
                let state = PendingState {
                    owner,
                    idle,
                    deliveries,
                };
                (id_of(&id), state)
            }));
        }
    }
}

/// Parses an entry of the dead-letter stream that comes from this stream's group; `None` if it is
/// not as the protocol defines it.
fn parse_dead_letter((_, fields): &Raw, stream: &str) -> Option<DeadLetter> {
    let names = fields.iter().step_by(2);
    let expected = [FIELD].into_iter().chain(DEAD_LETTER_FIELDS);
    if !names.eq(expected) {
        return None;
    }
    let mut values = fields.iter().skip(1).step_by(2);
    let text = EntryTag::parse(values.next()?)?;
    let of_group = [DEAD_LETTER_REASON, stream, GROUP];
    if !values.by_ref().take(of_group.len()).eq(of_group) {
        return None;
    }
    Some(DeadLetter {
        holder: values.next()?.clone(),
        id: values.next()?.parse().ok()?,
        deliveries: values.next()?.parse().ok()?,
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(fields: &[&str]) -> Raw {
        (
            "9-0".to_owned(),
            fields.iter().map(|field| (*field).to_owned()).collect(),
        )
    }

    #[test]
    fn a_dead_letter_is_parsed_only_if_it_is_complete() {
        let fields = [
            "add",
            "3-17:0:",
            "dead-letter-reason",
            "max-deliveries",
            "dead-letter-stream",
            "orders",
            "dead-letter-group",
            "group",
            "dead-letter-consumer",
            "consumer 1",
            "dead-letter-id",
            "5-1",
            "dead-letter-deliveries",
            "4",
        ];
        let expected = DeadLetter {
            id: EntryId { ms: 5, seq: 1 },
            text: EntryTag {
                writer: 3,
                number: 17,
            },
            holder: "consumer 1".to_owned(),
            deliveries: 4,
        };
        assert_eq!(parse_dead_letter(&raw(&fields), "orders"), Some(expected));
        assert_eq!(parse_dead_letter(&raw(&fields), "payments"), None);
        assert_eq!(parse_dead_letter(&raw(&fields[..12]), "orders"), None);
        assert_eq!(parse_dead_letter(&raw(&fields[2..]), "orders"), None);
        let mut more = fields.to_vec();
        more.extend(["more", ""]);
        assert_eq!(parse_dead_letter(&raw(&more), "orders"), None);
    }
}
