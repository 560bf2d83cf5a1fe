//! The last operation that was permitted: most clients repeat it, and then a comparison decides.

use streamgate_protocol::Operation;

use super::apply::Terms;

/// Longer names are not kept.
const MAX_NAME_BYTES: usize = 256;

/// The operation that one [`Rights`](super::Rights) permitted last, and its terms.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastPermit {
    /// `None` while nothing is kept.
    kind: Option<RepeatedKind>,
    stream: Vec<u8>,
    terms: Terms,
}

/// Operations that need the same permissions for their stream, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RepeatedKind {
    Add,
    TrimmingAdd,
    Read,
}

impl LastPermit {
    /// Returns the terms of an operation, if the last one was of the same kind and stream.
    pub(super) fn terms_of(&self, operation: &Operation<'_>) -> Option<&Terms> {
        let (kind, stream) = repeated(operation)?;
        (self.kind == Some(kind) && self.stream == *stream).then_some(&self.terms)
    }

    /// Remembers a permitted operation.
    pub(super) fn keep(&mut self, operation: &Operation<'_>, terms: &Terms) {
        if let Some((kind, stream)) = repeated(operation)
            && stream.len() <= MAX_NAME_BYTES
        {
            self.kind = Some(kind);
            self.stream.clear();
            self.stream.extend_from_slice(stream);
            self.terms = terms.clone();
        }
    }
}

fn repeated<'o>(operation: &'o Operation<'_>) -> Option<(RepeatedKind, &'o [u8])> {
    match operation {
        Operation::Add { stream, maxlen, .. } | Operation::IdempotentAdd { stream, maxlen, .. } => {
            let kind = match maxlen {
                None => RepeatedKind::Add,
                Some(_) => RepeatedKind::TrimmingAdd,
            };
            Some((kind, stream))
        }
        Operation::ReadLatest { stream, .. }
        | Operation::Read {
            stream,
            block_ms: None,
            ..
        } => Some((RepeatedKind::Read, stream)),
        _ => None,
    }
}
