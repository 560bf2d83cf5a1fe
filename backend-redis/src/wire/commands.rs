//! The Redis commands of operations, of tails and of connections. None of them blocks.
//!
//! Each function writes one command to a [`CommandWriter`].

use streamgate_protocol::text::Text;
use streamgate_protocol::{Bytes, EntryId};

/// Redis parses numbers as signed. A larger number would be refused; this one means the same.
const MAX_NUMBER: u64 = i64::MAX as u64;

/// Encodes commands, one after the other.
pub(crate) trait CommandWriter {
    /// Begins a command. Exactly `arguments` arguments follow.
    fn command(&mut self, name: &str, arguments: usize);

    fn argument(&mut self, argument: &[u8]);
}

/// Writes `HELLO 3`, with a user name and a password if there are any.
pub(crate) fn hello(to: &mut impl CommandWriter, credentials: Option<[&str; 2]>) {
    to.command("HELLO", if credentials.is_some() { 4 } else { 1 });
    text(to, "3");
    if let Some(credentials) = credentials {
        text(to, "AUTH");
        arguments(to, &credentials.map(str::as_bytes));
    }
}

/// Signs in where `HELLO` is unknown.
pub(crate) fn auth(to: &mut impl CommandWriter, username: Option<&str>, password: &str) {
    to.command("AUTH", if username.is_some() { 2 } else { 1 });
    if let Some(username) = username {
        text(to, username);
    }
    text(to, password);
}

pub(crate) fn select(to: &mut impl CommandWriter, database: i64) {
    to.command("SELECT", 1);
    text(to, &database.to_string());
}

/// Names the connection in `CLIENT LIST`, unless the name is empty.
pub(crate) fn set_client_name(to: &mut impl CommandWriter, name: &str) {
    if !name.is_empty() {
        to.command("CLIENT", 2);
        arguments(to, &[b"SETNAME", name.as_bytes()]);
    }
}

/// Names the library and its version in `CLIENT LIST`, which Redis 7.2 and newer show.
pub(crate) fn set_library(to: &mut impl CommandWriter, [name, version]: [&str; 2]) {
    for (attribute, value) in [("LIB-NAME", name), ("LIB-VER", version)] {
        to.command("CLIENT", 3);
        arguments(to, &[b"SETINFO", attribute.as_bytes(), value.as_bytes()]);
    }
}

/// Asks for facts about the server, the `maxmemory-policy` among them. `CONFIG GET` is forbidden
/// more often.
pub(crate) fn server_info(to: &mut impl CommandWriter) {
    to.command("INFO", 2);
    arguments(to, &[b"server", b"memory"]);
}

/// Makes Redis push the next change of each key that a command after [`arm_next`] reads.
pub(crate) fn turn_tracking_on(to: &mut impl CommandWriter) {
    to.command("CLIENT", 3);
    arguments(to, &[b"TRACKING", b"ON", b"OPTIN"]);
}

/// Arms the keys that the next command, or the next transaction, reads.
pub(crate) fn arm_next(to: &mut impl CommandWriter) {
    to.command("CLIENT", 2);
    arguments(to, &[b"CACHING", b"YES"]);
}

/// Closes another connection. What Redis has not read of it is never run.
pub(crate) fn kill_client(to: &mut impl CommandWriter, id: u64) {
    to.command("CLIENT", 3);
    arguments(to, &[b"KILL", b"ID"]);
    number(to, id);
}

/// Reads some fields of a hash. `0` is the first cursor.
pub(crate) fn scan_hash(to: &mut impl CommandWriter, key: &[u8], cursor: &str, count: u64) {
    to.command("HSCAN", 4);
    arguments(to, &[key, cursor.as_bytes(), b"COUNT"]);
    number(to, count);
}

pub(crate) fn ping(to: &mut impl CommandWriter) {
    to.command("PING", 0);
}

pub(crate) fn add(
    to: &mut impl CommandWriter,
    stream: &[u8],
    fields: &[(Bytes<'_>, Bytes<'_>)],
    maxlen: Option<u64>,
) {
    let limit = if maxlen.is_some() { 3 } else { 0 };
    to.command("XADD", 2 + limit + 2 * fields.len());
    to.argument(stream);
    if let Some(maxlen) = maxlen {
        text(to, "MAXLEN");
        text(to, "~");
        number(to, maxlen);
    }
    text(to, "*");
    self::fields(to, fields);
}

/// Writes names and values in turn.
pub(crate) fn fields(to: &mut impl CommandWriter, fields: &[(Bytes<'_>, Bytes<'_>)]) {
    for (field, value) in fields {
        to.argument(field);
        to.argument(value);
    }
}

pub(crate) fn read_latest(to: &mut impl CommandWriter, stream: &[u8], count: u64) {
    to.command("XREVRANGE", 5);
    arguments(to, &[stream, b"+", b"-", b"COUNT"]);
    number(to, count);
}

pub(crate) fn read(to: &mut impl CommandWriter, stream: &[u8], last_id: &str, count: u64) {
    to.command("XREAD", 5);
    text(to, "COUNT");
    number(to, count);
    arguments(to, &[b"STREAMS", stream, last_id.as_bytes()]);
}

pub(crate) fn read_after(to: &mut impl CommandWriter, stream: &[u8], after: EntryId, count: u64) {
    read(to, stream, &after.to_string(), count);
}

/// Reads forwards from an id, inclusive.
pub(crate) fn range_from(to: &mut impl CommandWriter, stream: &[u8], from: EntryId, count: u64) {
    to.command("XRANGE", 5);
    arguments(to, &[stream, from.to_string().as_bytes(), b"+", b"COUNT"]);
    number(to, count);
}

/// Reads the entry of an id.
pub(crate) fn range_of_one(to: &mut impl CommandWriter, stream: &[u8], id: &str) {
    to.command("XRANGE", 3);
    arguments(to, &[stream, id.as_bytes(), id.as_bytes()]);
}

/// Reads backwards from an id, inclusive.
pub(crate) fn range_back_from(
    to: &mut impl CommandWriter,
    stream: &[u8],
    from: EntryId,
    count: u64,
) {
    to.command("XREVRANGE", 5);
    arguments(to, &[stream, from.to_string().as_bytes(), b"-", b"COUNT"]);
    number(to, count);
}

pub(crate) fn length(to: &mut impl CommandWriter, stream: &[u8]) {
    to.command("XLEN", 1);
    to.argument(stream);
}

pub(crate) fn info(to: &mut impl CommandWriter, stream: &[u8]) {
    to.command("XINFO", 2);
    arguments(to, &[b"STREAM", stream]);
}

pub(crate) fn create_group(to: &mut impl CommandWriter, stream: &[u8], group: &[u8], id: &str) {
    to.command("XGROUP", 5);
    arguments(to, &[b"CREATE", stream, group, id.as_bytes(), b"MKSTREAM"]);
}

/// Reads entries that were never delivered to the group.
pub(crate) fn read_group(
    to: &mut impl CommandWriter,
    stream: &[u8],
    group: &[u8],
    consumer: &[u8],
    count: u64,
) {
    to.command("XREADGROUP", 8);
    arguments(to, &[b"GROUP", group, consumer, b"COUNT"]);
    number(to, count);
    arguments(to, &[b"STREAMS", stream, b">"]);
}

pub(crate) fn ack(to: &mut impl CommandWriter, stream: &[u8], group: &[u8], ids: &[Text<'_>]) {
    to.command("XACK", 2 + ids.len());
    arguments(to, &[stream, group]);
    for id in ids {
        text(to, id);
    }
}

pub(crate) fn pending_summary(to: &mut impl CommandWriter, stream: &[u8], group: &[u8]) {
    to.command("XPENDING", 2);
    arguments(to, &[stream, group]);
}

pub(crate) fn pending(
    to: &mut impl CommandWriter,
    stream: &[u8],
    group: &[u8],
    ends: [&str; 2],
    count: u64,
    consumer: Option<&[u8]>,
    min_idle_ms: Option<u64>,
) {
    let (idle, one) = (min_idle_ms.is_some(), consumer.is_some());
    to.command("XPENDING", 5 + 2 * usize::from(idle) + usize::from(one));
    arguments(to, &[stream, group]);
    if let Some(min_idle_ms) = min_idle_ms {
        text(to, "IDLE");
        number(to, min_idle_ms);
    }
    arguments(to, &ends.map(str::as_bytes));
    number(to, count);
    if let Some(consumer) = consumer {
        to.argument(consumer);
    }
}

pub(crate) fn consumers(to: &mut impl CommandWriter, stream: &[u8], group: &[u8]) {
    to.command("XINFO", 3);
    arguments(to, &[b"CONSUMERS", stream, group]);
}

pub(crate) fn claim(
    to: &mut impl CommandWriter,
    stream: &[u8],
    group: &[u8],
    consumer: &[u8],
    min_idle_ms: u64,
    start: &str,
    count: u64,
) {
    to.command("XAUTOCLAIM", 7);
    arguments(to, &[stream, group, consumer]);
    number(to, min_idle_ms);
    arguments(to, &[start.as_bytes(), b"COUNT"]);
    number(to, count);
}

/// Wraps the commands that `between` writes in `MULTI` and `EXEC`.
pub(crate) fn transaction<C: CommandWriter>(to: &mut C, between: impl FnOnce(&mut C)) {
    to.command("MULTI", 0);
    between(to);
    to.command("EXEC", 0);
}

pub(crate) fn text(to: &mut impl CommandWriter, text: &str) {
    to.argument(text.as_bytes());
}

pub(crate) fn arguments(to: &mut impl CommandWriter, arguments: &[&[u8]]) {
    for argument in arguments {
        to.argument(argument);
    }
}

pub(crate) fn number(to: &mut impl CommandWriter, number: u64) {
    let mut digits = itoa::Buffer::new();
    text(to, digits.format(number.min(MAX_NUMBER)));
}
