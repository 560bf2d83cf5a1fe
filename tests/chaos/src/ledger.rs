//! What Redis itself says, past all relays and proxies.

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;
use redis::streams::StreamInfoGroupsReply;
use redis::{AsyncCommands, RedisResult};

use streamgate_protocol::subscribe::{DEAD_LETTER_FIELDS, DEAD_LETTER_REASON};

use crate::journal::{Content, Group, Id, Letter, Text};
use crate::stage::{DEAD_LETTERS, FIELD, GROUP, Rules, STREAMS, id_of};

/// Entries that are asked for at once.
const PAGE: usize = 10_000;

/// Redis, for who looks.
pub(crate) struct Ledger(MultiplexedConnection);

/// An entry as Redis gives it: names and values in turn.
type Raw = (String, Vec<String>);

impl Ledger {
    pub(crate) async fn open(url: &str) -> RedisResult<Self> {
        let client = redis::Client::open(url)?;
        Ok(Self(client.get_multiplexed_async_connection().await?))
    }

    /// Makes the groups, before anything else is there.
    pub(crate) async fn create_groups(&mut self) -> RedisResult<()> {
        for stream in STREAMS.iter().filter(|stream| stream.group.is_some()) {
            let _: () = self
                .0
                .xgroup_create_mkstream(stream.name, GROUP, "0")
                .await?;
        }
        Ok(())
    }

    /// The last id of every stream; nothing is 0-0.
    pub(crate) async fn last_ids(&mut self) -> RedisResult<Vec<Id>> {
        let mut ids = Vec::new();
        for stream in &STREAMS {
            let last: Vec<Raw> = redis::cmd("XREVRANGE")
                .arg(&[stream.name, "+", "-", "COUNT", "1"])
                .query_async(&mut self.0)
                .await?;
            ids.push(last.first().map_or_else(Id::default, |(id, _)| id_of(id)));
        }
        Ok(ids)
    }

    /// Up to where the group of every stream that has one was given entries, and how many are
    /// pending.
    pub(crate) async fn groups(&mut self) -> RedisResult<Vec<(Id, usize)>> {
        let mut groups = Vec::new();
        for stream in STREAMS.iter().filter(|stream| stream.group.is_some()) {
            groups.push(self.group(stream.name).await?);
        }
        Ok(groups)
    }

    /// All of all streams.
    pub(crate) async fn contents(&mut self) -> RedisResult<Vec<Content>> {
        let mut contents = Vec::new();
        for stream in &STREAMS {
            let mut content = Content {
                name: stream.name.to_owned(),
                is_trimmed: stream.maxlen.is_some(),
                ..Content::default()
            };
            for entry in self.entries(stream.name).await? {
                match &entry.1[..] {
                    [name, value]
                        if name == FIELD
                            && let Some(text) = Text::parse(value) =>
                    {
                        content.entries.push((id_of(&entry.0), text));
                    }
                    _ => content.strangers.push(format!("{entry:?}")),
                }
            }
            if let Some(rules) = stream.group {
                let mut group = Group {
                    last_delivered: self.group(stream.name).await?.0,
                    pending: self.pending(stream.name).await?,
                    takes_over: rules == Rules::TakeOver,
                    ..Group::default()
                };
                if group.takes_over {
                    for entry in self.entries(DEAD_LETTERS).await? {
                        match letter(&entry, stream.name) {
                            Some(letter) => group.dead.push(letter),
                            None => group.strangers.push(format!("{entry:?}")),
                        }
                    }
                }
                content.group = Some(group);
            }
            contents.push(content);
        }
        Ok(contents)
    }

    async fn group(&mut self, stream: &str) -> RedisResult<(Id, usize)> {
        let groups: StreamInfoGroupsReply = self.0.xinfo_groups(stream).await?;
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
                .query_async(&mut self.0)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(entries);
            };
            from = format!("({last}");
            entries.extend(page);
        }
    }

    /// What is pending in a stream's group, and for whom.
    pub(crate) async fn pending(&mut self, stream: &str) -> RedisResult<BTreeMap<Id, String>> {
        let (mut pending, mut from) = (BTreeMap::new(), "-".to_owned());
        loop {
            let page: Vec<(String, String, u64, u64)> = redis::cmd("XPENDING")
                .arg(&[stream, GROUP, &from, "+", &PAGE.to_string()])
                .query_async(&mut self.0)
                .await?;
            let Some((last, ..)) = page.last() else {
                return Ok(pending);
            };
            from = format!("({last}");
            let page = page.into_iter();
            pending.extend(page.map(|(id, consumer, ..)| (id_of(&id), consumer)));
        }
    }
}

/// What a dead-letter stream says of an entry of this stream's group; nothing if it is not what the
/// protocol says.
fn letter((_, fields): &Raw, stream: &str) -> Option<Letter> {
    let names = fields.iter().step_by(2);
    let expected = [FIELD].into_iter().chain(DEAD_LETTER_FIELDS);
    if !names.eq(expected) {
        return None;
    }
    let mut values = fields.iter().skip(1).step_by(2);
    let text = Text::parse(values.next()?)?;
    let of_group = [DEAD_LETTER_REASON, stream, GROUP];
    if !values.by_ref().take(of_group.len()).eq(of_group) {
        return None;
    }
    Some(Letter {
        holder: values.next()?.clone(),
        id: Id::parse(values.next()?)?,
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
    fn a_letter_is_read_only_if_it_says_all() {
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
        let expected = Letter {
            id: Id { ms: 5, seq: 1 },
            text: Text {
                writer: 3,
                number: 17,
            },
            holder: "consumer 1".to_owned(),
            deliveries: 4,
        };
        assert_eq!(letter(&raw(&fields), "orders"), Some(expected));
        assert_eq!(letter(&raw(&fields), "payments"), None);
        assert_eq!(letter(&raw(&fields[..12]), "orders"), None);
        assert_eq!(letter(&raw(&fields[2..]), "orders"), None);
        let mut more = fields.to_vec();
        more.extend(["more", ""]);
        assert_eq!(letter(&raw(&more), "orders"), None);
    }
}
