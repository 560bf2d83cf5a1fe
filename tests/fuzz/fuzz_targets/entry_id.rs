//! Ids of entries: exactly the texts of digits that the documentation promises.

#![no_main]

use libfuzzer_sys::fuzz_target;
use streamgate_protocol::{EntryId, StartId};

fuzz_target!(|text: &str| {
    let parsed = EntryId::parse(text).ok();
    assert_eq!(parsed, expected(text), "{text:?}");
    assert_eq!(
        StartId::parse(text).is_ok(),
        parsed.is_some() || text == "$",
        "{text:?}"
    );
    if let Some(id) = parsed {
        assert_eq!(EntryId::parse(&id.to_string()), Ok(id));
    }
});

/// Parses an id in the plainest way.
fn expected(text: &str) -> Option<EntryId> {
    const MAX_ID_BYTES: usize = 127;
    if text.len() > MAX_ID_BYTES {
        return None;
    }
    let (ms, seq) = text.split_once('-').unwrap_or((text, "0"));
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain { digits.parse().ok() } else { None }
    };
    Some(EntryId::new(number(ms)?, number(seq)?))
}
