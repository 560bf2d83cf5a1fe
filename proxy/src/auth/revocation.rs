//! Revoked tokens: those of a subject, with an id or a key, or all, that were issued before a time.

use std::collections::HashMap;
use std::time::SystemTime;

use super::subject::Subject;

/// Which tokens are revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// Those of a subject: see [`subject`](Self::subject) and [`subject_of`](Self::subject_of).
    #[non_exhaustive]
    Subject {
        /// `sub`
        name: String,
        /// `iss`. `None`: the subjects of this name of every issuer, and those without one.
        issuer: Option<String>,
    },
    /// The one with this `jti`.
    TokenId(String),
    /// Those signed with the key of this `kid`.
    Key(String),
    /// All.
    All,
}

impl Revocation {
    /// The tokens of the subjects of this name, of every issuer and without one.
    pub fn subject(name: impl Into<String>) -> Self {
        Self::Subject {
            name: name.into(),
            issuer: None,
        }
    }

    /// The tokens of the subject of this name of one issuer, whose `iss` is exactly this.
    pub fn subject_of(issuer: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Subject {
            name: name.into(),
            issuer: Some(issuer.into()),
        }
    }
}

/// All revocations, each kind by its name: a token costs five look-ups, however many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedTokens {
    /// Those of every issuer.
    subjects: HashMap<String, SystemTime>,
    /// Those of one issuer, by the issuer.
    subjects_by_issuer: HashMap<String, HashMap<String, SystemTime>>,
    token_ids: HashMap<String, SystemTime>,
    keys: HashMap<String, SystemTime>,
    all: Option<SystemTime>,
}

impl RevokedTokens {
    /// Builds a list. Each revocation is of tokens that were issued before a time; one without `iat`
    /// counts as issued long ago.
    pub fn new(revocations: impl IntoIterator<Item = (Revocation, SystemTime)>) -> Self {
        let mut list = Self::default();
        for (revocation, before) in revocations {
            match revocation {
                Revocation::Subject { name, issuer } => {
                    let subjects = match issuer {
                        Some(issuer) => list.subjects_by_issuer.entry(issuer).or_default(),
                        None => &mut list.subjects,
                    };
                    revoke(subjects, name, before);
                }
                Revocation::TokenId(id) => revoke(&mut list.token_ids, id, before),
                Revocation::Key(id) => revoke(&mut list.keys, id, before),
                Revocation::All => list.all = list.all.max(Some(before)),
            }
        }
        list
    }

    /// Adds the revocations of another list.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (to, from) in [
            (&mut self.subjects, &other.subjects),
            (&mut self.token_ids, &other.token_ids),
            (&mut self.keys, &other.keys),
        ] {
            revoke_all(to, from);
        }
        for (issuer, from) in &other.subjects_by_issuer {
            let to = self.subjects_by_issuer.entry(issuer.clone()).or_default();
            revoke_all(to, from);
        }
        self.all = self.all.max(other.all);
        self
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        let of_one_issuer = self.subjects_by_issuer.values().map(HashMap::len);
        let subjects = self.subjects.len() + of_one_issuer.sum::<usize>();
        subjects + self.token_ids.len() + self.keys.len() + usize::from(self.all.is_some())
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the issuers of which subjects are revoked, in any order.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.subjects_by_issuer.keys().map(String::as_str)
    }

    pub(super) fn contain(&self, subject: &Subject) -> bool {
        let token = &subject.token;
        // A client without a token has none that could be revoked.
        let Some(name) = &subject.name else {
            return false;
        };
        let by_id = |list: &HashMap<String, SystemTime>, id: &Option<String>| {
            id.as_ref().and_then(|id| list.get(id)).copied()
        };
        let issuer = subject.issuer.as_deref();
        let of_issuer = issuer.and_then(|issuer| self.subjects_by_issuer.get(issuer));
        let revocations = [
            self.subjects.get(&**name).copied(),
            of_issuer.and_then(|names| names.get(&**name)).copied(),
            by_id(&self.token_ids, &token.id),
            by_id(&self.keys, &token.key_id),
            self.all,
        ];
        let mut revocations = revocations.into_iter().flatten();
        revocations.any(|before| token.issued_at.is_none_or(|issued| issued < before))
    }
}

fn revoke_all(to: &mut HashMap<String, SystemTime>, from: &HashMap<String, SystemTime>) {
    for (name, before) in from {
        revoke(to, name.clone(), *before);
    }
}

fn revoke(list: &mut HashMap<String, SystemTime>, name: String, before: SystemTime) {
    let current = list.entry(name).or_insert(before);
    *current = before.max(*current);
}
