//! Strings of bytes, as Redis keeps them: names and values, which need not be UTF-8.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;

/// A name or a value: any bytes, usually text.
///
/// It is made from text and from bytes alike, and compares with text. Where it is shown, bytes that
/// are not UTF-8 are U+FFFD.
///
/// ```
/// use streamgate_protocol::ByteString;
///
/// assert_eq!(ByteString::from("tea"), "tea");
/// let value = ByteString::from(vec![0xff, b'!']);
/// assert_eq!(value.to_text(), "\u{fffd}!");
/// assert_eq!(value[..], [0xff, b'!']);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteString(pub Vec<u8>);

/// A name or a value that may be borrowed, as the arguments of an
/// [`Operation`](crate::Operation) are from a frame. See [`ByteString`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes<'a>(pub Cow<'a, [u8]>);

impl ByteString {
    /// Returns the text, with U+FFFD for what is not UTF-8. Copies nothing that is UTF-8.
    pub fn into_text(self) -> String {
        String::from_utf8(self.0)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

impl Bytes<'_> {
    /// Copies the bytes if they are borrowed, and moves them if they are owned.
    pub fn into_owned(self) -> Bytes<'static> {
        Bytes(Cow::Owned(self.0.into_owned()))
    }
}

/// Implements what both types share.
macro_rules! both {
    ($([$($generics:tt)*] $type:ty),*) => {$(
        impl<$($generics)*> $type {
            /// Returns the text, with U+FFFD for what is not UTF-8.
            pub fn to_text(&self) -> Cow<'_, str> {
                String::from_utf8_lossy(self)
            }

            /// Returns the text, if it is UTF-8.
            pub fn as_text(&self) -> Option<&str> {
                std::str::from_utf8(self).ok()
            }
        }

        impl<$($generics)*> Deref for $type {
            type Target = [u8];

            fn deref(&self) -> &[u8] {
                &self.0
            }
        }

        impl<$($generics)*> AsRef<[u8]> for $type {
            fn as_ref(&self) -> &[u8] {
                self
            }
        }

        impl<$($generics)*> Borrow<[u8]> for $type {
            fn borrow(&self) -> &[u8] {
                self
            }
        }

        impl<$($generics)*> PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                **self == *other.as_bytes()
            }
        }

        impl<$($generics)*> PartialEq<String> for $type {
            fn eq(&self, other: &String) -> bool {
                *self == **other
            }
        }

        impl<$($generics)*> PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                *self == **other
            }
        }

        impl<$($generics)*> fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_text())
            }
        }

        impl<$($generics)*> fmt::Debug for $type {
            /// As text if it is UTF-8, else with escapes for the other bytes.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.as_text() {
                    Some(text) => fmt::Debug::fmt(text, f),
                    None => write!(f, "b\"{}\"", self.escape_ascii()),
                }
            }
        }
    )*};
}

both!([] ByteString, ['a] Bytes<'a>);

impl From<&str> for ByteString {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<&String> for ByteString {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for ByteString {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&[u8]> for ByteString {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl<const N: usize> From<[u8; N]> for ByteString {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes.into())
    }
}

impl<const N: usize> From<&[u8; N]> for ByteString {
    fn from(bytes: &[u8; N]) -> Self {
        Self(bytes.into())
    }
}

impl From<Vec<u8>> for ByteString {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<Bytes<'_>> for ByteString {
    fn from(bytes: Bytes<'_>) -> Self {
        Self(bytes.0.into_owned())
    }
}

impl<'a> From<&'a str> for Bytes<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }
}

impl<'a> From<&'a String> for Bytes<'a> {
    fn from(text: &'a String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Bytes<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text.into_bytes()))
    }
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Bytes<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Bytes<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }
}

impl From<ByteString> for Bytes<'_> {
    fn from(bytes: ByteString) -> Self {
        Self(Cow::Owned(bytes.0))
    }
}

impl<'a> From<&'a ByteString> for Bytes<'a> {
    fn from(bytes: &'a ByteString) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_survive() {
        let text = ByteString::from("größe");
        assert_eq!(text, "größe");
        assert_eq!(text.into_text(), "größe");
        let bytes = Bytes::from(&[b'a', 0xff, 0]);
        assert_eq!(bytes.to_text(), "a\u{fffd}\0");
        let owned = ByteString::from(bytes.into_owned());
        assert_eq!(owned[..], [b'a', 0xff, 0]);
        assert_eq!(owned.into_text(), "a\u{fffd}\0");
    }

    #[test]
    fn it_is_shown_as_text_or_with_escapes() {
        let shown = |bytes: &'static [u8]| format!("{0} {0:?}", Bytes::from(bytes));
        assert_eq!(shown(b"a\""), r#"a" "a\"""#);
        assert_eq!(shown(b"a\xff"), "a\u{fffd} b\"a\\xff\"");
    }
}
