//! The Redis commands of the six operations and of tails. None of them blocks.

use redis::Cmd;
use streamgate_protocol::text::Text;

use crate::entry_id::EntryId;

/// Redis reads numbers as signed; what is more than that has no effect.
const MAX_NUMBER: u64 = i64::MAX as u64;

/// Bytes of the words and numbers of a command, beside what the caller gives.
const ROOM: usize = 64;

pub(super) fn add(stream: &str, fields: &[(Text<'_>, Text<'_>)], maxlen: Option<u64>) -> Cmd {
    let bytes: usize = fields
        .iter()
        .map(|(field, value)| field.len() + value.len())
        .sum();
    let mut cmd = Cmd::with_capacity(6 + 2 * fields.len(), ROOM + stream.len() + bytes);
    cmd.arg("XADD").arg(stream);
    if let Some(maxlen) = maxlen {
        cmd.arg("MAXLEN").arg("~").arg(maxlen.min(MAX_NUMBER));
    }
    cmd.arg("*");
    for (field, value) in fields {
        cmd.arg(&**field).arg(&**value);
    }
    cmd
}

pub(super) fn read_latest(stream: &str, count: u64) -> Cmd {
    let mut cmd = Cmd::with_capacity(6, ROOM + stream.len());
    cmd.arg("XREVRANGE")
        .arg(stream)
        .arg("+")
        .arg("-")
        .arg("COUNT")
        .arg(count.min(MAX_NUMBER));
    cmd
}

pub(super) fn read(stream: &str, last_id: &str, count: u64) -> Cmd {
    let mut cmd = Cmd::with_capacity(6, ROOM + stream.len() + last_id.len());
    cmd.arg("XREAD").arg("COUNT").arg(count.min(MAX_NUMBER));
    cmd.arg("STREAMS").arg(stream).arg(last_id);
    cmd
}

pub(super) fn read_after(stream: &str, after: EntryId, count: u64) -> Cmd {
    read(stream, &after.to_string(), count)
}

/// From an id on, that included.
pub(super) fn range_from(stream: &str, from: EntryId, count: u64) -> Cmd {
    let mut cmd = Cmd::with_capacity(6, ROOM + stream.len());
    cmd.arg("XRANGE").arg(stream).arg(from.to_string()).arg("+");
    cmd.arg("COUNT").arg(count.min(MAX_NUMBER));
    cmd
}

/// Backwards from an id on, that included.
pub(super) fn range_back_from(stream: &str, from: EntryId, count: u64) -> Cmd {
    let mut cmd = Cmd::with_capacity(6, ROOM + stream.len());
    cmd.arg("XREVRANGE")
        .arg(stream)
        .arg(from.to_string())
        .arg("-");
    cmd.arg("COUNT").arg(count.min(MAX_NUMBER));
    cmd
}

pub(super) fn length(stream: &str) -> Cmd {
    let mut cmd = Cmd::with_capacity(2, ROOM + stream.len());
    cmd.arg("XLEN").arg(stream);
    cmd
}

pub(super) fn info(stream: &str) -> Cmd {
    let mut cmd = Cmd::with_capacity(3, ROOM + stream.len());
    cmd.arg("XINFO").arg("STREAM").arg(stream);
    cmd
}

pub(super) fn create_group(stream: &str, group: &str, id: &str) -> Cmd {
    let mut cmd = Cmd::with_capacity(6, ROOM + stream.len() + group.len() + id.len());
    cmd.arg("XGROUP")
        .arg("CREATE")
        .arg(stream)
        .arg(group)
        .arg(id)
        .arg("MKSTREAM");
    cmd
}

pub(super) fn read_group(stream: &str, group: &str, consumer: &str, count: u64) -> Cmd {
    let mut cmd = Cmd::with_capacity(9, ROOM + stream.len() + group.len() + consumer.len());
    cmd.arg("XREADGROUP").arg("GROUP").arg(group).arg(consumer);
    cmd.arg("COUNT")
        .arg(count.min(MAX_NUMBER))
        .arg("STREAMS")
        .arg(stream)
        .arg(">");
    cmd
}

pub(super) fn ack(stream: &str, group: &str, ids: &[Text<'_>]) -> Cmd {
    let bytes: usize = ids.iter().map(|id| id.len()).sum();
    let mut cmd = Cmd::with_capacity(3 + ids.len(), ROOM + stream.len() + group.len() + bytes);
    cmd.arg("XACK").arg(stream).arg(group);
    for id in ids {
        cmd.arg(&**id);
    }
    cmd
}
