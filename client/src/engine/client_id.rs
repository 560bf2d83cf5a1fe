//! The id of a client.

/// The characters of base64url (RFC 4648, section 5).
const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Identifies a client for its whole life: 128 random bits.
///
/// The bits must come from the platform's cryptographic source, drawn anew for each client. If two
/// clients shared an id, a server would store the add of one of them only, and would end the
/// connection of one for the other. So an id is no setting and cannot be cloned.
#[derive(Debug)]
pub struct ClientId([u8; 16]);

impl ClientId {
    /// Returns the id with these bits.
    pub const fn from_random(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// Returns the id of the client on the wire: 22 characters of base64url.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // The low bits that no character holds yet; what is above them is not read again.
        let (mut bits, mut left) = (0_u32, 0);
        for byte in self.0 {
            bits = bits << 8 | u32::from(byte);
            left += 8;
            while left >= 6 {
                left -= 6;
                push_character(&mut text, bits >> left);
            }
        }
        push_character(&mut text, bits << (6 - left));
        text
    }

    /// Returns a seed for what needs no secrecy.
    pub(super) fn seed(&self) -> u64 {
        let fold = |seed: u64, byte: &u8| seed.rotate_left(8) ^ u64::from(*byte);
        self.0.iter().fold(0, fold)
    }
}

fn push_character(text: &mut String, bits: u32) {
    text.push(char::from(BASE64URL[bits as usize % BASE64URL.len()]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_base64url_without_padding() {
        let id = |bits| ClientId::from_random(bits).text();
        assert_eq!(id([0; 16]), "A".repeat(22));
        assert_eq!(id([0xff; 16]), format!("{}w", "_".repeat(21)));
        let counted = std::array::from_fn(|index| index as u8);
        assert_eq!(id(counted), "AAECAwQFBgcICQoLDA0ODw");
    }

    #[test]
    fn every_bit_matters() {
        let none = ClientId::from_random([0; 16]);
        for bit in 0..128 {
            let mut bits = [0; 16];
            bits[bit / 8] = 1 << (bit % 8);
            let one = ClientId::from_random(bits);
            assert_ne!(one.text(), none.text(), "bit {bit}");
            assert_ne!(one.seed(), none.seed(), "bit {bit}");
        }
    }
}
