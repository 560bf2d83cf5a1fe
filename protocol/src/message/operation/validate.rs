//! Validation: every backend performs it before an operation, and the client for Rust before it sends one.

use super::Operation;
use crate::byte_string::Bytes;
use crate::entry_id::{EntryId, StartId};
use crate::error::{CacheError, CacheResult, code};
use crate::limits::{
    FIELD_BYTES, MAX_ENTRY_BYTES, MAX_FIELDS, MAX_IDS, MAX_NAME_BYTES, MAX_PENDING_PAGE,
    MAX_PRODUCER_BYTES, MAX_PRODUCER_NUMBER,
};
use crate::text::{is_base64url, push_number};

impl Operation<'_> {
    /// Refuses an operation that no backend may perform, with the same error everywhere.
    ///
    /// # Errors
    ///
    /// `LIMIT` for a name, a list of ids, a page or an entry beyond its bound. `ERR` for a [malformed id](EntryId),
    /// an add without fields, a producer's name with other characters, a claim of 0 entries, and a
    /// new owner that is the consumer itself.
    pub fn validate(&self) -> CacheResult<()> {
        self.validate_names_and_counts()?;
        match self {
            Self::Read { last_id: start, .. } | Self::CreateGroup { id: start, .. } => {
                StartId::parse(start)?;
            }
            Self::Ack { ids, .. } => {
                at_most("ids", ids.len(), MAX_IDS)?;
                for acknowledged in ids {
                    EntryId::parse(acknowledged)?;
                }
            }
            Self::ReadPending { after, except, .. } => {
                EntryId::parse(after)?;
                at_most("ids", except.len(), MAX_IDS)?;
                for excepted in except {
                    EntryId::parse(excepted)?;
                }
            }
            Self::Pending { start, end, .. } => {
                EntryId::parse_range_start(start)?;
                EntryId::parse_range_end(end)?;
            }
            Self::Claim { start, .. } => {
                EntryId::parse(start)?;
            }
            Self::Add { fields, .. } => fitting(fields)?,
            Self::IdempotentAdd {
                fields,
                producer,
                number,
                after,
                ..
            } => {
                fitting(fields)?;
                producer_name(producer)?;
                if after >= number || *number > MAX_PRODUCER_NUMBER {
                    let why = "the numbers of a producer's adds rise from 1";
                    return Err(CacheError::from_code(code::ERR, why));
                }
            }
            Self::ReadLatest { .. }
            | Self::ReadGroup { .. }
            | Self::PendingSummary { .. }
            | Self::RemoveConsumer { .. }
            | Self::Consumers { .. } => {}
        }
        Ok(())
    }

    /// Checks all but ids, entries, and the numbers of idempotent adds.
    fn validate_names_and_counts(&self) -> CacheResult<()> {
        name("stream key", self.stream())?;
        if let Some(group) = self.group() {
            name("group name", group)?;
        }
        if let Some(consumer) = self.consumer() {
            name("consumer name", consumer)?;
        }
        match self {
            Self::Add { fields, .. } | Self::IdempotentAdd { fields, .. } => not_empty(fields),
            Self::Pending { count, .. } => page(*count),
            Self::Claim { count, .. } => {
                if *count == 0 {
                    return Err(CacheError::from_code(code::ERR, "COUNT must be > 0"));
                }
                page(*count)
            }
            Self::RemoveConsumer {
                consumer,
                new_owner,
                ..
            } => {
                name("new owner's name", new_owner)?;
                if consumer == new_owner {
                    let why = "the new owner is the consumer itself; name another one";
                    return Err(CacheError::from_code(code::ERR, why));
                }
                Ok(())
            }
            Self::ReadLatest { .. }
            | Self::Read { .. }
            | Self::CreateGroup { .. }
            | Self::ReadGroup { .. }
            | Self::Ack { .. }
            | Self::ReadPending { .. }
            | Self::PendingSummary { .. }
            | Self::Consumers { .. } => Ok(()),
        }
    }

    fn group(&self) -> Option<&[u8]> {
        match self {
            Self::CreateGroup { group, .. }
            | Self::ReadGroup { group, .. }
            | Self::Ack { group, .. }
            | Self::ReadPending { group, .. }
            | Self::PendingSummary { group, .. }
            | Self::Pending { group, .. }
            | Self::Claim { group, .. }
            | Self::RemoveConsumer { group, .. }
            | Self::Consumers { group, .. } => Some(group),
            Self::Add { .. }
            | Self::IdempotentAdd { .. }
            | Self::ReadLatest { .. }
            | Self::Read { .. } => None,
        }
    }

    fn consumer(&self) -> Option<&[u8]> {
        match self {
            Self::ReadGroup { consumer, .. }
            | Self::ReadPending { consumer, .. }
            | Self::Claim { consumer, .. }
            | Self::RemoveConsumer { consumer, .. } => Some(consumer),
            Self::Pending { consumer, .. } => consumer.as_deref(),
            Self::Add { .. }
            | Self::IdempotentAdd { .. }
            | Self::ReadLatest { .. }
            | Self::Read { .. }
            | Self::CreateGroup { .. }
            | Self::Ack { .. }
            | Self::PendingSummary { .. }
            | Self::Consumers { .. } => None,
        }
    }
}

/// Refuses an entry that no reader with the default frame could get.
fn fitting(fields: &[(Bytes<'_>, Bytes<'_>)]) -> CacheResult<()> {
    at_most("fields", fields.len(), MAX_FIELDS)?;
    let bytes = |(name, value): &(Bytes<'_>, Bytes<'_>)| FIELD_BYTES + name.len() + value.len();
    let bytes: usize = fields.iter().map(bytes).sum();
    if bytes <= MAX_ENTRY_BYTES {
        return Ok(());
    }
    let mut why = String::from("an entry of ");
    push_number(&mut why, bytes as u64);
    why.push_str(" bytes, with 32 for each field, is too large; the most is ");
    push_number(&mut why, MAX_ENTRY_BYTES as u64);
    Err(CacheError::from_code(code::LIMIT, &why))
}

fn at_most(what: &str, count: usize, max: usize) -> CacheResult<()> {
    if count <= max {
        return Ok(());
    }
    let mut why = String::new();
    push_number(&mut why, count as u64);
    why.push(' ');
    why.push_str(what);
    why.push_str(" are too many; at most ");
    push_number(&mut why, max as u64);
    why.push_str(" are allowed in one request");
    Err(CacheError::from_code(code::LIMIT, &why))
}

fn not_empty(fields: &[(Bytes<'_>, Bytes<'_>)]) -> CacheResult<()> {
    if fields.is_empty() {
        let why = "an entry needs at least one field";
        return Err(CacheError::from_code(code::ERR, why));
    }
    Ok(())
}

/// Keys of dedup windows are made of producers' names, so these hold no separator.
fn producer_name(name: &str) -> CacheResult<()> {
    if is_base64url(name, MAX_PRODUCER_BYTES) {
        return Ok(());
    }
    let why = "a producer's name has 1 to 64 of the characters A-Z, a-z, 0-9, _ and -";
    Err(CacheError::from_code(code::ERR, why))
}

fn page(count: u64) -> CacheResult<()> {
    if count <= MAX_PENDING_PAGE as u64 {
        return Ok(());
    }
    let mut text = String::from("a page has at most ");
    push_number(&mut text, MAX_PENDING_PAGE as u64);
    text.push_str(" pending entries; ask for fewer");
    Err(CacheError::from_code(code::LIMIT, &text))
}

pub(in crate::message) fn name(what: &str, value: &[u8]) -> CacheResult<()> {
    if value.len() <= MAX_NAME_BYTES {
        return Ok(());
    }
    let mut text = String::from("the ");
    text.push_str(what);
    text.push_str(" has ");
    push_number(&mut text, value.len() as u64);
    text.push_str(" bytes; at most ");
    push_number(&mut text, MAX_NAME_BYTES as u64);
    text.push_str(" are allowed");
    Err(CacheError::from_code(code::LIMIT, &text))
}
