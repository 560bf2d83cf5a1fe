//! `streamgate token hash`: the hash by which the server knows a static token.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use ring::digest::{SHA256, digest};

use super::read_token;
use crate::cli::CommandError;

/// Fewest bytes of a static token: 128 bits in base64 have 22. A shorter one can be guessed from
/// its hash.
const MIN_TOKEN_BYTES: usize = 22;

pub(super) fn run() -> Result<(), CommandError> {
    let token = read_token()?;
    if token.len() < MIN_TOKEN_BYTES {
        return Err(CommandError::usage(format_args!(
            "the token has {} characters, so it could be guessed; use at least {MIN_TOKEN_BYTES} \
             random ones, such as those of `openssl rand -base64 32`",
            token.len()
        )));
    }
    // If stdout is closed, nobody wants the hash.
    let _ = writeln!(io::stdout(), "{}", sha256_hex(token.as_bytes()));
    Ok(())
}

fn sha256_hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in digest(&SHA256, bytes).as_ref() {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_fips_180() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), expected);
    }
}
