//! Every type that travels, one line a type: the numbers, names and order of SPEC.md.
//!
//! A new field goes last in its record and is optional. A new alternative takes the next number.

use super::binary::{self, Reader};
#[cfg(feature = "json")]
use super::json::{self, JsonReader};
use super::push::ItemRef;
#[cfg(feature = "json")]
use super::wire::ReadError;
use super::wire::{self, Choice, Decode, Encode, Record, choice, record};
use crate::message::{
    Credit, Fault, Hello, Identity, Item, Outcome, Reply, Subscription, TailStart, Welcome,
};
use crate::pending::{Claimed, ConsumerInfo, PendingEntry, PendingSummary};
use crate::subscribe::{Gap, Skipped};
use crate::{ClientMessage, Operation, ServerMessage};

choice!(ClientMessage<'a> {
    0 hello Hello(hello),
    1 request Request { id, operation },
    2 cancel Cancel { id },
    3 subscribe Subscribe { id, subscription, credit },
    4 grant Grant { id, credit },
    5 ping Ping { nonce },
    6 pong Pong { nonce },
    7 authenticate Authenticate { token },
});

choice!(ServerMessage {
    0 welcome Welcome(welcome),
    1 reply Reply { id, outcome },
    2 push Push { id, item },
    3 position Position { id, last_id },
    4 backend Backend { unavailable },
    5 ping Ping { nonce },
    6 pong Pong { nonce },
    7 auth Auth { identity, refused },
});

choice!(Operation<'a> {
    0 add Add { stream, fields, maxlen },
    1 read_latest ReadLatest { stream, count },
    2 read Read { stream, last_id, count, block_ms },
    3 create_group CreateGroup { stream, group, id },
    4 read_group ReadGroup { stream, group, consumer, count, block_ms },
    5 ack Ack { stream, group, ids },
    6 read_pending ReadPending { stream, group, consumer, after, count, except },
    7 idempotent_add IdempotentAdd {
        stream, fields, maxlen, producer, number, after, resent
    },
    8 pending_summary PendingSummary { stream, group },
    9 pending Pending { stream, group, start, end, count, consumer, min_idle_ms },
    10 claim Claim { stream, group, consumer, min_idle_ms, start, count },
    11 remove_consumer RemoveConsumer { stream, group, consumer, new_owner },
    12 consumers Consumers { stream, group },
});

choice!(Reply {
    0 added Added { id },
    1 entries Entries { entries, last_id, more },
    2 done Done {},
    3 acknowledged Acknowledged { count },
    4 summary Summary(summary),
    5 pending Pending { entries },
    6 claimed Claimed(claimed),
    7 removed Removed { handed_over },
    8 consumers Consumers { consumers },
});

choice!(Subscription<'a> {
    0 tail Tail { stream, from },
    1 consume Consume {
        stream, group, consumer, batch, claim_after_ms, max_deliveries, dead_letter, resumed,
        create_from, position
    },
});

choice!(TailStart<'a> {
    0 beginning Beginning {},
    1 now Now {},
    2 after After { id },
    3 last Last { count },
});

choice!(Item {
    0 entries Entries { entries, position },
    1 gap Gap(gap),
    2 skipped Skipped(skipped),
});

record!(Hello<'a> { client, max_frame_bytes, features, token });
record!(Welcome {
    server,
    features,
    max_in_flight,
    max_frame_bytes,
    heartbeat_ms,
    identity
});
record!(Identity {
    subject,
    renew_after_ms,
    expires_after_ms
});
record!(Fault {
    code,
    message,
    retry,
    retry_after_ms,
    entry,
    last_number
});
record!(Credit { entries, bytes });
record!(PendingSummary {
    count,
    smallest,
    greatest,
    consumers
});
record!(PendingEntry {
    id,
    consumer,
    idle_ms,
    deliveries
});
record!(ConsumerInfo {
    name,
    pending,
    idle_ms
});
record!(Claimed {
    cursor,
    entries,
    deleted,
    more
});
record!(Gap {
    after,
    first,
    position,
    reason
});
record!(Skipped { id, bytes, reason });

// `ok` and `error` have one part each, without a name in JSON.
impl Encode for Outcome {
    fn write_binary(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ok(reply) => {
                binary::write_uint(out, 0);
                binary::write_record(out, |out| reply.write_binary(out));
            }
            Self::Error(fault) => {
                binary::write_uint(out, 1);
                fault.write_binary(out);
            }
        }
    }

    #[cfg(feature = "json")]
    fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ok(reply) => {
                out.extend_from_slice(b"{\"ok\":");
                reply.write_json(out);
            }
            Self::Error(fault) => {
                out.extend_from_slice(b"{\"error\":");
                fault.write_json(out);
            }
        }
        out.push(b'}');
    }
}

impl<'a> Decode<'a> for Outcome {
    fn read_binary(reader: &mut Reader<'a>) -> Self {
        let number = reader.uint();
        reader.record(|reader| match number {
            0 => Self::Ok(Reply::read_binary(reader)),
            1 => Self::Error(Fault::read_fields(reader)),
            _ => {
                reader.fail(wire::UNKNOWN);
                Self::Ok(Reply::Done {})
            }
        })
    }

    #[cfg(feature = "json")]
    fn read_json(reader: &mut JsonReader<'a>) -> Result<Self, ReadError> {
        let mut object = reader.object()?;
        let outcome = match reader.key(&mut object)?.as_deref() {
            Some("ok") => Self::Ok(Reply::read_json(reader)?),
            Some("error") => Self::Error(Fault::read_json(reader)?),
            _ => return Err(ReadError::unknown("unknown Outcome")),
        };
        reader.end_choice(&mut object)?;
        Ok(outcome)
    }
}

impl Encode for ItemRef<'_> {
    fn write_binary(&self, out: &mut Vec<u8>) {
        match self {
            Self::Entries { entries, position } => {
                binary::write_uint(out, 0);
                wire::write_content!(out, { entries, position });
            }
            Self::Gap(gap) => {
                binary::write_uint(out, 1);
                gap.write_binary(out);
            }
            Self::Skipped(skipped) => {
                binary::write_uint(out, 2);
                skipped.write_binary(out);
            }
        }
    }

    #[cfg(feature = "json")]
    fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Entries { entries, position } => {
                out.extend_from_slice(b"{\"entries\":");
                wire::write_json_content!(out, { entries, position });
            }
            Self::Gap(gap) => {
                out.extend_from_slice(b"{\"gap\":");
                gap.write_json(out);
            }
            Self::Skipped(skipped) => {
                out.extend_from_slice(b"{\"skipped\":");
                skipped.write_json(out);
            }
        }
        out.push(b'}');
    }
}
