//! `[[auth.static_tokens]]`: tokens of machines, by their hashes.

use std::collections::BTreeMap;

use streamgate::{Role, StaticToken};
use toml::Spanned;

use super::SettingsError;
use super::auth_section::StaticTokenSection;
use super::document::Document;
use super::suggestion::did_you_mean;

/// Reads all static tokens.
pub(super) fn static_tokens(
    document: &Document<'_>,
    sections: Vec<Spanned<StaticTokenSection>>,
    roles: &BTreeMap<String, Role>,
) -> Result<Vec<StaticToken>, SettingsError> {
    let mut tokens: Vec<StaticToken> = Vec::new();
    for section in sections {
        let span = section.span();
        let invalid = |why: &str| document.error_at(&span, why);
        let section = section.into_inner();
        if section.token.is_some() {
            return Err(invalid(
                "`token` is refused: whoever reads this file could use it; write its hash as \
                 `sha256`, which `streamgate token hash` prints",
            ));
        }
        let hash = section.sha256.as_deref().and_then(digest);
        let sha256 = hash.ok_or_else(|| {
            invalid(
                "`sha256` must be the 64 hexadecimal digits that `streamgate token hash` prints",
            )
        })?;
        if section.subject.is_empty() {
            return Err(invalid("`subject` is empty; say who presents the token"));
        }
        if let Some(unknown) = section.roles.iter().find(|role| !roles.contains_key(*role)) {
            return Err(document.error_at(&span, unknown_role(unknown, roles)));
        }
        if tokens.iter().any(|token| token.sha256 == sha256) {
            return Err(invalid("two static tokens have this `sha256`; remove one"));
        }
        tokens.push(StaticToken {
            subject: section.subject,
            sha256,
            roles: section.roles,
        });
    }
    Ok(tokens)
}

/// Returns why a role cannot be used.
pub(super) fn unknown_role(name: &str, roles: &BTreeMap<String, Role>) -> String {
    let known = roles.keys().map(String::as_str);
    match roles.is_empty() {
        true => format!("unknown role '{name}'; add [roles.{name}]"),
        false => format!("unknown role '{name}'; {}", did_you_mean(name, known)),
    }
}

/// Parses the hexadecimal digits of a SHA-256.
fn digest(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_64_hexadecimal_digits() {
        let digits = "00ff".repeat(16);
        let bytes = digest(&digits).unwrap();
        assert_eq!(bytes[..4], [0, 0xff, 0, 0xff]);
        assert_eq!(digest(&digits.to_uppercase()), Some(bytes));
        for invalid in ["", "00", &"0".repeat(63), &"g".repeat(64), &"+0".repeat(32)] {
            assert_eq!(digest(invalid), None, "{invalid}");
        }
    }
}
