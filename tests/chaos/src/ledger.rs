//! What Redis itself says, past all relays and proxies.

use std::collections::{BTreeMap, BTreeSet};

use redis::aio::MultiplexedConnection;
use redis::streams::StreamInfoGroupsReply;
use redis::{AsyncCommands, RedisResult};

use crate::journal::{Content, Group, Id, Text};
use crate::stage::{FIELD, GROUP, STREAMS, id_of};

/// Entries that are asked for at once.
const PAGE: usize = 10_000;

/// Where what was given up would be.
const DEAD_LETTERS: &str = "dead letters";

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
        for stream in STREAMS.iter().filter(|stream| stream.has_group) {
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
        for stream in STREAMS.iter().filter(|stream| stream.has_group) {
            groups.push(self.group(stream.name).await?);
        }
        Ok(groups)
    }

    /// All of all streams.
    pub(crate) async fn contents(&mut self) -> RedisResult<Vec<Content>> {
        let dead = self.entries(DEAD_LETTERS).await?;
        let dead: BTreeSet<Text> = dead.iter().filter_map(text).collect();
        let mut contents = Vec::new();
        for stream in &STREAMS {
            let mut content = Content {
                name: stream.name.to_owned(),
                is_trimmed: stream.maxlen.is_some(),
                ..Content::default()
            };
            for entry in self.entries(stream.name).await? {
                match (text(&entry), &entry.1[..]) {
                    (Some(text), [_, _]) => content.entries.push((id_of(&entry.0), text)),
                    _ => content.strangers.push(format!("{entry:?}")),
                }
            }
            if stream.has_group {
                content.group = Some(Group {
                    last_delivered: self.group(stream.name).await?.0,
                    pending: self.pending(stream.name).await?,
                    dead: dead.clone(),
                });
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

    async fn pending(&mut self, stream: &str) -> RedisResult<BTreeMap<Id, String>> {
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

/// Whose entry it is; dead letters may say more than that.
fn text((_, fields): &Raw) -> Option<Text> {
    let mut pairs = fields.chunks_exact(2);
    let field = pairs.find(|pair| pair[0] == FIELD)?;
    Text::parse(&field[1])
}
