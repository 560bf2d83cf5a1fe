//! Patterns of names: a literal, or a prefix and one `*` at its end. A pattern may contain
//! placeholders for claims, as in `user:{sub}:*`.

use std::fmt;

/// Longest value of a claim that fills a placeholder.
const MAX_CLAIM_BYTES: usize = 128;

/// A pattern without placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    Literal(Box<[u8]>),
    Prefix(Box<[u8]>),
}

impl Pattern {
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => **literal == *name,
            Self::Prefix(prefix) => name.starts_with(prefix),
        }
    }
}

/// A pattern, or a prefix, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
    is_prefix: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Claim(String),
}

/// Why a pattern is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PatternError {
    /// A `*` that is not at the end.
    Star,
    /// A `{` without `}`, the reverse, or nothing between them.
    Brace,
    /// A claim whose end nobody could tell: its value could reach the names of another.
    ClaimEnd,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Star => "`*` may only be its last character",
            Self::Brace => "`{` and `}` must enclose the name of a claim, as in `{sub}`",
            Self::ClaimEnd => {
                "after a `{claim}` must come a character that claims cannot contain, such as `:`"
            }
        })
    }
}

impl Template {
    /// Parses a pattern.
    pub(super) fn pattern(text: &str) -> Result<Self, PatternError> {
        let (text, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if text.contains('*') {
            return Err(PatternError::Star);
        }
        let parts = parts(text)?;
        check_claim_ends(&parts, is_prefix)?;
        Ok(Self { parts, is_prefix })
    }

    /// Parses a text that is put before names, in which `*` means nothing.
    pub(super) fn text(text: &str) -> Result<Self, PatternError> {
        let parts = parts(text)?;
        check_claim_ends(&parts, true)?;
        let is_prefix = false;
        Ok(Self { parts, is_prefix })
    }

    /// Fills the placeholders. Returns `None` if a claim is absent, or has other characters than
    /// `A-Z`, `a-z`, `0-9`, `.`, `_`, `@` and `-`: it could reach other names then.
    pub(super) fn fill<'c>(&self, claim: &dyn Fn(&str) -> Option<&'c str>) -> Option<String> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Claim(name) => filled.push_str(claim(name).filter(|v| is_safe(v))?),
            }
        }
        Some(filled)
    }

    /// Compiles the pattern for a token with these claims, like [`fill`](Self::fill).
    pub(super) fn compile<'c>(&self, claim: &dyn Fn(&str) -> Option<&'c str>) -> Option<Pattern> {
        let filled = self.fill(claim)?.into_bytes().into_boxed_slice();
        Some(if self.is_prefix {
            Pattern::Prefix(filled)
        } else {
            Pattern::Literal(filled)
        })
    }
}

fn parts(mut text: &str) -> Result<Vec<Part>, PatternError> {
    let mut parts = Vec::new();
    while let Some(start) = text.find(['{', '}']) {
        let (literal, rest) = text.split_at(start);
        let (claim, after) = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
            .filter(|(claim, _)| !claim.is_empty() && !claim.contains('{'))
            .ok_or(PatternError::Brace)?;
        if !literal.is_empty() {
            parts.push(Part::Text(literal.to_owned()));
        }
        parts.push(Part::Claim(claim.to_owned()));
        text = after;
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(parts)
}

/// Checks that each claim ends where no claim could go on: `user.{sub}.*` of `ann` would be the
/// beginning of all names of `ann.smith`.
fn check_claim_ends(parts: &[Part], may_go_on: bool) -> Result<(), PatternError> {
    for (index, part) in parts.iter().enumerate() {
        let ends = match (part, parts.get(index + 1)) {
            (Part::Text(_), _) => true,
            (Part::Claim(_), None) => !may_go_on,
            (Part::Claim(_), Some(Part::Text(text))) => {
                !text.bytes().next().is_some_and(is_of_claim)
            }
            (Part::Claim(_), Some(Part::Claim(_))) => false,
        };
        if !ends {
            return Err(PatternError::ClaimEnd);
        }
    }
    Ok(())
}

fn is_safe(value: &str) -> bool {
    (1..=MAX_CLAIM_BYTES).contains(&value.len()) && value.bytes().all(is_of_claim)
}

fn is_of_claim(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._@-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(pattern: &str, sub: Option<&str>) -> Option<Pattern> {
        let claim = |name: &str| if name == "sub" { sub } else { None };
        Template::pattern(pattern).unwrap().compile(&claim)
    }

    fn matches(pattern: &str, sub: Option<&str>, name: &str) -> bool {
        compiled(pattern, sub).unwrap().matches(name.as_bytes())
    }

    #[test]
    fn a_pattern_is_a_literal_or_a_prefix() {
        assert!(matches("orders", None, "orders"));
        assert!(!matches("orders", None, "orders2"));
        assert!(!matches("orders", None, "Orders"));
        assert!(matches("orders.*", None, "orders.eu"));
        assert!(matches("orders.*", None, "orders."));
        assert!(!matches("orders.*", None, "orders"));
        assert!(matches("*", None, ""));
        assert!(matches("", None, ""));
        assert!(!matches("", None, "x"));
    }

    #[test]
    fn names_are_bytes() {
        let any = compiled("*", None).unwrap();
        assert!(any.matches(&[0xff, b'*']));
        let bytes = compiled("ü*", None).unwrap();
        assert!(bytes.matches("üb".as_bytes()));
        assert!(!bytes.matches(&[0xc3]));
    }

    #[test]
    fn claims_fill_placeholders() {
        assert!(matches("user.{sub}:*", Some("ann"), "user.ann:inbox"));
        assert!(!matches("user.{sub}:*", Some("ann"), "user.anna:inbox"));
        assert!(matches("{sub}", Some("a@b.c-d_1"), "a@b.c-d_1"));
        assert_eq!(compiled("user.{sub}", None), None);
        assert_eq!(compiled("user.{name}", Some("ann")), None);
    }

    #[test]
    fn a_claim_that_could_reach_other_names_fills_no_placeholder() {
        let long = "x".repeat(MAX_CLAIM_BYTES + 1);
        for hostile in [
            "", "*", "a*", "a b", "a:b", "a/b", "{sub}", "ü", "a\0", &long,
        ] {
            assert_eq!(compiled("user.{sub}", Some(hostile)), None, "{hostile:?}");
        }
    }

    #[test]
    fn a_claim_must_end_where_no_claim_could_go_on() {
        for pattern in [
            "user.{sub}.*",
            "user.{sub}.inbox",
            "{sub}*",
            "{sub}-*",
            "{sub}x",
            "{org}{sub}",
            "{org}{sub}:*",
            "{org}.{sub}:*",
        ] {
            let refused = Template::pattern(pattern);
            assert_eq!(refused, Err(PatternError::ClaimEnd), "{pattern}");
        }
        for pattern in ["{sub}", "user.{sub}", "{org}:{sub}/*", "{sub}ü", "{sub} *"] {
            assert!(Template::pattern(pattern).is_ok(), "{pattern}");
        }
        assert_eq!(Template::text("tenant:{org}"), Err(PatternError::ClaimEnd));
        assert!(Template::text("tenant:{org}:").is_ok());
    }

    #[test]
    fn invalid_patterns_are_refused() {
        for (pattern, error) in [
            ("a*b", PatternError::Star),
            ("**", PatternError::Star),
            ("*.{sub}", PatternError::Star),
            ("{", PatternError::Brace),
            ("}", PatternError::Brace),
            ("{}", PatternError::Brace),
            ("{a{b}}", PatternError::Brace),
            ("a}b{", PatternError::Brace),
        ] {
            assert_eq!(Template::pattern(pattern), Err(error), "{pattern}");
        }
    }
}
