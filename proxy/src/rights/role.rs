//! Roles: rights as an operator writes them, with placeholders for claims.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::apply::Terms;
use super::pattern::{Pattern, PatternError, Template};
use super::permission::Permission;
use super::{RESERVED_PREFIX, Right, Rights};

/// A right: permissions for streams, and for groups and consumers.
///
/// A pattern is a name, or a prefix and one `*` at its end. `{claim}` stands for a claim of the
/// token whose value has 1 to 128 characters of `A-Z`, `a-z`, `0-9`, `.`, `_`, `@` and `-`. Without
/// such a claim the pattern matches nothing, and a right permits nothing if no pattern of one of its
/// lists is left. No such character, and no `*`, may follow a `{claim}`:
/// `user.{sub}.*` of `ann` would match the names of `ann.smith`.
///
/// If several rights permit the same, the smallest of their bounds counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RightRule {
    /// What it permits.
    pub allow: Vec<Permission>,
    /// Patterns of the streams' names.
    pub streams: Vec<String>,
    /// Patterns of the groups' names. Default: all.
    #[serde(default = "everything")]
    pub groups: Vec<String>,
    /// Patterns of the consumers' names. Default: all. An acknowledgement names no consumer: it is
    /// for any entry of the group.
    #[serde(default = "everything")]
    pub consumers: Vec<String>,
    /// Each add trims the stream to about this many entries, whatever the client asks for; so does
    /// each dead letter of a consumer. Default: no add trims, but with [`Permission::Trim`] clients
    /// choose, never below 1.
    #[serde(default)]
    pub maxlen: Option<u64>,
    /// The largest number of entries of one reply. Default: no ceiling.
    #[serde(default)]
    pub max_count: Option<u64>,
    /// Put before the names of streams, so that tenants do not meet. May have placeholders, each
    /// followed as in a pattern.
    #[serde(default)]
    pub prefix: Option<String>,
}

/// A role: rights that belong together.
#[derive(Debug, Clone)]
pub struct Role(Vec<RightTemplate>);

#[derive(Debug, Clone)]
struct RightTemplate {
    rule: RightRule,
    streams: Vec<Template>,
    groups: Vec<Template>,
    consumers: Vec<Template>,
    prefix: Option<Template>,
}

/// Why a role is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleError {
    /// The right, counted from 1.
    pub right: usize,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for RoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "right {}: {}", self.right, self.why)
    }
}

impl std::error::Error for RoleError {}

impl RightRule {
    /// Builds a right for all groups and consumers of these streams.
    pub fn new(
        allow: impl IntoIterator<Item = Permission>,
        streams: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            allow: allow.into_iter().collect(),
            streams: streams.into_iter().map(Into::into).collect(),
            groups: everything(),
            consumers: everything(),
            maxlen: None,
            max_count: None,
            prefix: None,
        }
    }
}

impl Role {
    /// Checks the patterns of rights.
    ///
    /// # Errors
    ///
    /// The first right that is invalid, and why.
    pub fn new(rules: impl IntoIterator<Item = RightRule>) -> Result<Self, RoleError> {
        let template = |(index, rule): (usize, RightRule)| {
            RightTemplate::new(rule).map_err(|why| RoleError {
                right: index + 1,
                why,
            })
        };
        let rights: Result<_, _> = rules.into_iter().enumerate().map(template).collect();
        rights.map(Self)
    }

    /// Returns the rules that it is made of.
    pub fn rules(&self) -> impl Iterator<Item = &RightRule> {
        self.0.iter().map(|right| &right.rule)
    }
}

impl RightTemplate {
    fn new(rule: RightRule) -> Result<Self, String> {
        if rule.allow.is_empty() {
            return Err("`allow` is empty; name at least one permission".to_owned());
        }
        if rule.streams.is_empty() {
            return Err("`streams` is empty; name at least one pattern".to_owned());
        }
        for (field, value) in [("maxlen", rule.maxlen), ("max_count", rule.max_count)] {
            if value == Some(0) {
                return Err(format!("`{field}` must be at least 1"));
            }
        }
        let patterns = |field: &str, patterns: &[String]| -> Result<Vec<Template>, String> {
            let parse =
                |text: &String| Template::pattern(text).map_err(|why| invalid(field, text, &why));
            patterns.iter().map(parse).collect()
        };
        let prefix = rule.prefix.as_ref().map(|text| {
            if text.as_bytes().starts_with(RESERVED_PREFIX) {
                return Err("`prefix` may not begin with `streamgate:`".to_owned());
            }
            Template::text(text).map_err(|why| invalid("prefix", text, &why))
        });
        Ok(Self {
            streams: patterns("streams", &rule.streams)?,
            groups: patterns("groups", &rule.groups)?,
            consumers: patterns("consumers", &rule.consumers)?,
            prefix: prefix.transpose()?,
            rule,
        })
    }

    /// Returns the right of a token with these claims; `None` if a claim is missing without which it
    /// permits nothing.
    fn compile<'c>(&self, claim: &dyn Fn(&str) -> Option<&'c str>) -> Option<Right> {
        let compiled = |templates: &[Template]| -> Option<Vec<Pattern>> {
            let patterns: Vec<_> = templates.iter().filter_map(|t| t.compile(claim)).collect();
            (!patterns.is_empty()).then_some(patterns)
        };
        let prefix = match &self.prefix {
            None => None,
            // Without its prefix the right would be one for everybody's streams.
            Some(template) => Some(Arc::from(template.fill(claim)?.into_bytes())),
        };
        Some(Right {
            permissions: self.rule.allow.iter().copied().collect(),
            streams: compiled(&self.streams)?,
            groups: compiled(&self.groups)?,
            consumers: compiled(&self.consumers)?,
            terms: Terms {
                prefix,
                maxlen: self.rule.maxlen,
                max_count: self.rule.max_count,
            },
        })
    }
}

impl Rights {
    /// Compiles the rights of a token with these roles and claims.
    pub(crate) fn compile<'r, 'c>(
        roles: impl IntoIterator<Item = &'r Role>,
        claim: &dyn Fn(&str) -> Option<&'c str>,
    ) -> Self {
        let templates = roles.into_iter().flat_map(|role| &role.0);
        Self::of(templates.filter_map(|right| right.compile(claim)).collect())
    }
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

fn invalid(field: &str, text: &str, why: &PatternError) -> String {
    format!("invalid pattern '{text}' in `{field}`: {why}")
}
