//! What a subject may do: rights, and the check of every operation and subscription.
//!
//! A [`Role`] is a list of rights as its operator writes them, with placeholders for claims of a
//! token. [`Rights`] are those of one subject, compiled once per token. Whatever no right permits is
//! refused; there are no rules that forbid.

mod apply;
mod last_permit;
mod needs;
mod pattern;
mod permission;
mod role;

use std::collections::BTreeSet;
use std::sync::Arc;

use streamgate_protocol::error::code;
use streamgate_protocol::message::Subscription;
use streamgate_protocol::{CacheError, CacheResult, Operation};

use self::apply::stream_of;
pub(crate) use self::apply::{DeadLetterTerms, Terms};
pub(crate) use self::last_permit::LastPermit;
pub(crate) use self::needs::OngoingNeeds;
use self::needs::{Need, needs_of_operation, needs_of_subscription};
use self::pattern::Pattern;
pub use self::permission::Permission;
use self::permission::PermissionSet;
pub use self::role::{RightRule, Role, RoleError};

/// Names that begin with this belong to the server: dedup windows, revocations.
const RESERVED_PREFIX: &[u8] = b"streamgate:";

/// Characters of a stream's name that a refusal quotes.
const MAX_QUOTED_CHARS: usize = 64;

/// The rights of one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rights(Access);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Access {
    /// Everything is permitted but the server's own names: it has no authentication.
    Everything,
    #[default]
    Nothing,
    Some(Arc<[Right]>),
}

/// One right: these permissions for these names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Right {
    permissions: PermissionSet,
    streams: Vec<Pattern>,
    groups: Vec<Pattern>,
    consumers: Vec<Pattern>,
    terms: Terms,
}

impl Rights {
    /// Returns the rights of everybody on a server without authentication.
    pub(crate) const fn everything() -> Self {
        Self(Access::Everything)
    }

    /// Returns whether all is permitted but the server's own names.
    pub(crate) const fn is_everything(&self) -> bool {
        matches!(self.0, Access::Everything)
    }

    fn of(rights: Vec<Right>) -> Self {
        if rights.is_empty() {
            Self(Access::Nothing)
        } else {
            Self(Access::Some(rights.into()))
        }
    }

    /// Checks an operation, and applies the terms of its right to it: a tenant's prefix, a forced
    /// `maxlen`, ceilings. If it may wait, returns what to check again when the rights change.
    ///
    /// # Errors
    ///
    /// `NOPERM`, whatever exists.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn permit_operation(
        &self,
        operation: &mut Operation<'_>,
        producer_prefix: &str,
    ) -> CacheResult<Option<Box<OngoingNeeds>>> {
        self.permit_repeated(operation, producer_prefix, &mut LastPermit::default())
    }

    /// Does the same, and sooner if these rights permitted the same `last`.
    ///
    /// # Errors
    ///
    /// As [`permit_operation`](Self::permit_operation).
    pub(crate) fn permit_repeated(
        &self,
        operation: &mut Operation<'_>,
        producer_prefix: &str,
        last: &mut LastPermit,
    ) -> CacheResult<Option<Box<OngoingNeeds>>> {
        if self.is_everything() {
            return match stream_of(operation) {
                Some(stream) if is_reserved(stream) => Err(reserved(stream)),
                _ => Ok(None),
            };
        }
        if let Some(terms) = last.terms_of(operation) {
            terms.apply_to_operation(operation, producer_prefix);
            return Ok(None);
        }
        let (terms, ongoing) = {
            let needs = needs_of_operation(operation);
            let terms = self.terms_for(needs.verb, &needs.list)?;
            let may_wait = operation.block_ms().is_some();
            let ongoing = may_wait.then(|| Box::new(OngoingNeeds::new(&needs, &terms)));
            (terms, ongoing)
        };
        last.keep(operation, &terms);
        terms.apply_to_operation(operation, producer_prefix);
        Ok(ongoing)
    }

    /// Checks a subscription, and applies the terms of its right to it. Returns what to check again
    /// when the rights change, and what holds for its dead letters.
    ///
    /// # Errors
    ///
    /// `NOPERM`, whatever exists.
    pub(crate) fn permit_subscription(
        &self,
        subscription: &mut Subscription<'_>,
    ) -> CacheResult<(Option<Box<OngoingNeeds>>, DeadLetterTerms)> {
        if self.is_everything() {
            let needs = needs_of_subscription(subscription);
            let mut streams = needs.list.iter().map(|need| need.stream);
            return match streams.find(|stream| is_reserved(stream)) {
                Some(stream) => Err(reserved(stream)),
                None => Ok((None, DeadLetterTerms::default())),
            };
        }
        let (terms, ongoing) = {
            let needs = needs_of_subscription(subscription);
            let terms = self.terms_for(needs.verb, &needs.list)?;
            let ongoing = Box::new(OngoingNeeds::new(&needs, &terms));
            (terms, ongoing)
        };
        let dead_letters = terms.apply_to_subscription(subscription);
        Ok((Some(ongoing), dead_letters))
    }

    /// Checks again what was permitted by other rights: it must be permitted for the same streams.
    /// Returns the terms of these rights.
    ///
    /// # Errors
    ///
    /// `NOPERM`.
    pub(crate) fn still_permit(&self, ongoing: &OngoingNeeds) -> CacheResult<Terms> {
        if self.is_everything() {
            return Ok(Terms::default());
        }
        let needs = ongoing.needs();
        let terms = self.terms_within(ongoing.prefix(), &needs.list);
        terms.map_err(|need| refusal(needs.verb, need))
    }

    /// Returns the terms of the rights that permit all needs with one prefix: with two, a tenant could
    /// reach the streams of another. Of several prefixes it is the first in their order, or none.
    fn terms_for(&self, verb: &str, needs: &[Need<'_>]) -> CacheResult<Terms> {
        let Some((first, _)) = needs.split_first() else {
            return Err(CacheError::backend(
                code::NOPERM,
                format!("you may not {verb}"),
            ));
        };
        let mut chosen: Option<Terms> = None;
        let mut refused = first;
        for right in self.rights().iter().filter(|right| right.permits(first)) {
            let prefix = &right.terms.prefix;
            if chosen.as_ref().is_some_and(|terms| terms.prefix <= *prefix) {
                continue;
            }
            match self.terms_within(prefix, needs) {
                // No other comes before it.
                Ok(terms) if terms.prefix.is_none() => return Ok(terms),
                Ok(terms) => chosen = Some(terms),
                Err(need) => refused = need,
            }
        }
        chosen.ok_or_else(|| refusal(verb, refused))
    }

    /// Returns the terms of the rights with this prefix, or the first need that none permits.
    fn terms_within<'n, 'a>(
        &self,
        prefix: &Option<Arc<[u8]>>,
        needs: &'n [Need<'a>],
    ) -> Result<Terms, &'n Need<'a>> {
        let mut terms = Terms {
            prefix: prefix.clone(),
            ..Terms::default()
        };
        for need in needs {
            // A forced `maxlen` takes the place of the client's.
            if need.permission == Permission::Trim && terms.maxlen.is_some() {
                continue;
            }
            let mut is_permitted = false;
            for right in self.rights() {
                if right.terms.prefix == *prefix && right.permits(need) {
                    is_permitted = true;
                    terms.restrict(&right.terms, need);
                }
            }
            if !is_permitted {
                return Err(need);
            }
        }
        Ok(terms)
    }

    /// Returns the prefixes that it puts before names of streams, each once, in order.
    pub(crate) fn prefixes(&self) -> BTreeSet<&[u8]> {
        let rights = self.rights().iter();
        rights
            .filter_map(|right| right.terms.prefix.as_deref())
            .collect()
    }

    fn rights(&self) -> &[Right] {
        match &self.0 {
            Access::Some(rights) => rights,
            Access::Everything | Access::Nothing => &[],
        }
    }
}

impl Right {
    fn permits(&self, need: &Need<'_>) -> bool {
        let matches = |patterns: &[Pattern], name: &[u8]| patterns.iter().any(|p| p.matches(name));
        self.permissions.contains(need.permission)
            && !self.terms.makes_reserved(need.stream)
            && matches(&self.streams, need.stream)
            && need.group.is_none_or(|group| matches(&self.groups, group))
            && need
                .consumers
                .iter()
                .flatten()
                .all(|consumer| matches(&self.consumers, consumer))
    }
}

fn is_reserved(stream: &[u8]) -> bool {
    stream.starts_with(RESERVED_PREFIX)
}

fn refusal(verb: &str, need: &Need<'_>) -> CacheError {
    let (stream, permission) = (quoted(need.stream), need.permission);
    let why = format!(
        "you may not {verb} on the stream {stream}: no right allows `{permission}` with these names"
    );
    CacheError::backend(code::NOPERM, why)
}

fn reserved(stream: &[u8]) -> CacheError {
    let stream = quoted(stream);
    let why = format!("the server keeps names such as {stream} to itself; use another one");
    CacheError::backend(code::NOPERM, why)
}

/// Quotes the beginning of a stream's name.
fn quoted(stream: &[u8]) -> String {
    let stream = String::from_utf8_lossy(stream);
    let quoted: String = stream.chars().take(MAX_QUOTED_CHARS).collect();
    let rest = if quoted.len() < stream.len() {
        "…"
    } else {
        ""
    };
    format!("'{quoted}{rest}'")
}

#[cfg(test)]
mod tests;
