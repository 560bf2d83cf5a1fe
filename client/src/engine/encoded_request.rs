//! A request or a subscription as it travels, and what the engine has to know of it.
//!
//! The engine keeps requests in the binary encoding. It reads few of their fields, so a browser
//! downloads one reader of bytes instead of a type for each operation.

use streamgate_protocol::Bytes;
use streamgate_protocol::codec::{Encode, Reader, write_message, write_record};
use streamgate_protocol::message::Credit;
use streamgate_protocol::text::Text;

use super::delivery_log::ConsumerKey;
use super::idempotent_producers::AddNumber;

/// The numbers of messages, operations and subscriptions that the engine knows. Others travel too.
pub(super) mod number {
    pub(in crate::engine) const HELLO: u64 = 0;
    pub(in crate::engine) const REQUEST: u64 = 1;
    pub(in crate::engine) const CANCEL: u64 = 2;
    pub(in crate::engine) const SUBSCRIBE: u64 = 3;
    pub(in crate::engine) const GRANT: u64 = 4;
    pub(in crate::engine) const PING: u64 = 5;
    pub(in crate::engine) const PONG: u64 = 6;
    pub(in crate::engine) const AUTHENTICATE: u64 = 7;

    pub(in crate::engine) const ADD: u64 = 0;
    pub(in crate::engine) const READ_LATEST: u64 = 1;
    pub(in crate::engine) const READ: u64 = 2;
    pub(in crate::engine) const READ_GROUP: u64 = 4;
    pub(in crate::engine) const ACK: u64 = 5;
    pub(in crate::engine) const READ_PENDING: u64 = 6;
    pub(in crate::engine) const IDEMPOTENT_ADD: u64 = 7;
    pub(in crate::engine) const PENDING_SUMMARY: u64 = 8;
    pub(in crate::engine) const PENDING: u64 = 9;
    pub(in crate::engine) const CLAIM: u64 = 10;
    pub(in crate::engine) const CONSUMERS: u64 = 12;

    pub(in crate::engine) const TAIL: u64 = 0;
    pub(in crate::engine) const CONSUME: u64 = 1;

    /// The start of a tail after an id.
    pub(in crate::engine) const AFTER: u64 = 2;
}

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// An operation of this number.
    Operation(u64),
    /// A subscription of this number.
    Subscription(u64),
}

pub(super) const READ: RequestKind = RequestKind::Operation(number::READ);
pub(super) const READ_GROUP: RequestKind = RequestKind::Operation(number::READ_GROUP);
pub(super) const READ_PENDING: RequestKind = RequestKind::Operation(number::READ_PENDING);
pub(super) const TAIL: RequestKind = RequestKind::Subscription(number::TAIL);
pub(super) const CONSUME: RequestKind = RequestKind::Subscription(number::CONSUME);

/// The fields of an operation or of a subscription.
#[derive(Debug)]
pub(super) struct EncodedRequest {
    kind: RequestKind,
    fields: Vec<u8>,
    /// Where the fields begin that change when it is sent again: the time of a wait, where a
    /// subscription continues.
    fixed_bytes: usize,
}

impl EncodedRequest {
    /// Takes an operation in the binary encoding.
    pub(super) fn operation(encoded: &[u8]) -> Self {
        Self::new(encoded, RequestKind::Operation)
    }

    /// Takes a subscription in the binary encoding.
    pub(super) fn subscription(encoded: &[u8]) -> Self {
        Self::new(encoded, RequestKind::Subscription)
    }

    /// Builds the operation that finds pending entries of a consumer.
    pub(super) fn read_pending(
        consumer: ConsumerKey<'_>,
        after: &str,
        count: u64,
        except: &[Text<'_>],
    ) -> Self {
        let mut fields = Vec::new();
        write_bytes(&mut fields, consumer.stream);
        write_bytes(&mut fields, consumer.group);
        write_bytes(&mut fields, consumer.consumer);
        after.write_binary(&mut fields);
        count.write_binary(&mut fields);
        except.write_binary(&mut fields);
        Self::with_fields(READ_PENDING, fields)
    }

    fn new(encoded: &[u8], kind: fn(u64) -> RequestKind) -> Self {
        let mut reader = Reader::new(encoded);
        let kind = kind(reader.uint());
        Self::with_fields(kind, reader.bytes().to_owned())
    }

    fn with_fields(kind: RequestKind, fields: Vec<u8>) -> Self {
        let mut request = Self {
            kind,
            fixed_bytes: fields.len(),
            fields,
        };
        let mut reader = request.reader();
        match kind {
            TAIL => {
                reader.bytes();
            }
            READ => {
                reader.bytes();
                reader.bytes();
                reader.uint();
            }
            READ_GROUP | CONSUME => {
                key(&mut reader);
                reader.uint();
                if kind == CONSUME {
                    reader.field::<Option<u64>>();
                    reader.field::<Option<u64>>();
                    reader.field::<Option<Bytes<'_>>>();
                }
            }
            _ => return request,
        }
        request.fixed_bytes -= reader.rest().len();
        request
    }

    pub(super) const fn kind(&self) -> RequestKind {
        self.kind
    }

    fn reader(&self) -> Reader<'_> {
        Reader::new(&self.fields)
    }

    /// Reads the fields that change.
    fn changing(&self) -> Reader<'_> {
        Reader::new(self.fields.get(self.fixed_bytes..).unwrap_or_default())
    }

    /// Its length without the part that all requests have.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether performing it changes nothing at the server.
    pub(super) const fn is_read_only(&self) -> bool {
        match self.kind {
            RequestKind::Operation(number) => matches!(
                number,
                number::READ_LATEST
                    | number::READ
                    | number::READ_PENDING
                    | number::PENDING_SUMMARY
                    | number::PENDING
                    | number::CONSUMERS
            ),
            RequestKind::Subscription(number) => number == number::TAIL,
        }
    }

    /// Returns the first field, which all have.
    pub(super) fn stream(&self) -> &[u8] {
        self.reader().bytes()
    }

    /// Returns the first three fields of those that have a consumer.
    pub(super) fn consumer_key(&self) -> ConsumerKey<'_> {
        key(&mut self.reader())
    }

    /// Returns the stream, the group and the ids of an acknowledgement.
    pub(super) fn acknowledged(&self) -> (&[u8], &[u8], Vec<Text<'_>>) {
        let mut reader = self.reader();
        (reader.bytes(), reader.bytes(), reader.list())
    }

    /// Returns the entries that a read of a group, or a consumer, takes at once; 0 for no limit.
    pub(super) fn count(&self) -> u64 {
        let mut reader = self.reader();
        key(&mut reader);
        match self.kind {
            READ_PENDING => {
                reader.bytes();
            }
            READ_GROUP | CONSUME => {}
            _ => return 0,
        }
        reader.uint()
    }

    /// Returns the time that a read may wait.
    pub(super) fn block_ms(&self) -> Option<u64> {
        match self.kind {
            READ | READ_GROUP => self.changing().field(),
            _ => None,
        }
    }

    pub(super) fn set_block_ms(&mut self, block_ms: Option<u64>) {
        self.fields.truncate(self.fixed_bytes);
        block_ms.write_binary(&mut self.fields);
    }

    /// Replaces the `$` of a read.
    pub(super) fn resolve_last_id(&mut self, id: &str) {
        if self.kind != READ {
            return;
        }
        let mut reader = self.reader();
        let stream = reader.bytes();
        if reader.bytes() != b"$" {
            return;
        }
        let mut fields = Vec::new();
        write_bytes(&mut fields, stream);
        id.write_binary(&mut fields);
        fields.extend_from_slice(reader.rest());
        *self = Self::with_fields(READ, fields);
    }

    /// Whether a consumer reclaims idle entries of others.
    pub(super) fn reclaims(&self) -> bool {
        let mut reader = self.reader();
        key(&mut reader);
        reader.uint();
        self.kind == CONSUME && reader.field::<Option<u64>>().is_some()
    }

    /// Returns where a consumer creates its group if it is missing.
    pub(super) fn create_from(&self) -> Option<Text<'_>> {
        if self.kind != CONSUME {
            return None;
        }
        let mut reader = self.changing();
        reader.field::<Option<bool>>();
        reader.field()
    }

    /// Makes a tail continue after an id.
    pub(super) fn resume_tail(&mut self, position: &str) {
        self.fields.truncate(self.fixed_bytes);
        number::AFTER.write_binary(&mut self.fields);
        write_record(&mut self.fields, |out| position.write_binary(out));
    }

    /// Makes a consumer continue.
    pub(super) fn resume_consumer(&mut self, resumed: bool, position: Option<&str>) {
        let create_from = self.create_from().map(Text::into_owned);
        self.fields.truncate(self.fixed_bytes);
        resumed.then_some(true).write_binary(&mut self.fields);
        create_from.write_binary(&mut self.fields);
        position.write_binary(&mut self.fields);
    }

    /// Appends the message of a request. An add with a number is an idempotent add; `may_be_done`
    /// says that it may be stored already.
    pub(super) fn write_request(
        &self,
        out: &mut Vec<u8>,
        id: u64,
        add: Option<&AddNumber>,
        may_be_done: bool,
    ) {
        let RequestKind::Operation(operation) = self.kind else {
            return;
        };
        write_message(out, number::REQUEST, |out| {
            id.write_binary(out);
            let Some(add) = add else {
                return self.write_fields(out, operation, |_| ());
            };
            self.write_fields(out, number::IDEMPOTENT_ADD, |out| {
                (&*add.producer).write_binary(out);
                add.number.write_binary(out);
                add.after.write_binary(out);
                may_be_done.write_binary(out);
            });
        });
    }

    /// Appends the message of a subscription.
    pub(super) fn write_subscription(&self, out: &mut Vec<u8>, id: u64, credit: Credit) {
        let RequestKind::Subscription(subscription) = self.kind else {
            return;
        };
        write_message(out, number::SUBSCRIBE, |out| {
            id.write_binary(out);
            self.write_fields(out, subscription, |_| ());
            credit.write_binary(out);
        });
    }

    fn write_fields(&self, out: &mut Vec<u8>, number: u64, more: impl FnOnce(&mut Vec<u8>)) {
        number.write_binary(out);
        write_record(out, |out| {
            out.extend_from_slice(&self.fields);
            more(out);
        });
    }
}

/// Appends bytes with their length.
fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    Bytes::from(bytes).write_binary(out);
}

// Inlined it would be a larger download for browsers.
#[inline(never)]
fn key<'a>(reader: &mut Reader<'a>) -> ConsumerKey<'a> {
    ConsumerKey {
        stream: reader.bytes(),
        group: reader.bytes(),
        consumer: reader.bytes(),
    }
}
