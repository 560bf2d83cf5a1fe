//! The values that records are made of: numbers, text, lists, pairs, and optional ones.

use std::borrow::Cow;

use super::binary::{self, Reader};
#[cfg(feature = "json")]
use super::json::{self, JsonReader};
#[cfg(feature = "json")]
use super::wire::ReadError;
use super::wire::{Decode, Encode, ListBound};
use crate::byte_string::{ByteString, Bytes};
use crate::entry::Entry;
use crate::limits::{MAX_FIELDS, MAX_IDS};
use crate::subscribe::GapReason;
use crate::text::Text;

/// Implements the traits for a type by four expressions.
macro_rules! value {
    ([$($generics:tt)*] $type:ty {
        |$value:ident, $out:ident| $write:expr, $write_json:expr;
        |$reader:ident| $read:expr, $read_json:expr;
        $(bound: $bound:expr;)?
    }) => {
        impl<$($generics)*> Encode for $type {
            fn write_binary(&self, $out: &mut Vec<u8>) {
                let $value = self;
                $write;
            }

            #[cfg(feature = "json")]
            fn write_json(&self, $out: &mut Vec<u8>) {
                let $value = self;
                $write_json;
            }
        }

        impl<'a> Decode<'a> for $type {
            $(const BOUND: Option<ListBound> = $bound;)?

            fn read_binary($reader: &mut Reader<'a>) -> Self {
                $read
            }

            #[cfg(feature = "json")]
            fn read_json($reader: &mut JsonReader<'a>) -> Result<Self, ReadError> {
                $read_json
            }
        }
    };
}

value!([] u64 {
    |value, out| binary::write_uint(out, *value), json::write_uint(out, *value);
    |reader| reader.uint(), reader.uint();
});

value!([] u32 {
    |value, out| u64::from(*value).write_binary(out), u64::from(*value).write_json(out);
    |reader| match u32::try_from(reader.uint()) {
        Ok(number) => number,
        Err(_) => {
            reader.fail(binary::MALFORMED);
            0
        }
    }, reader.uint().and_then(narrow);
});

value!([] bool {
    |value, out| out.push(u8::from(*value)),
        out.extend_from_slice(if *value { b"true" } else { b"false" });
    |reader| reader.boolean(), reader.boolean();
});

value!([] String {
    |value, out| binary::write_text(out, value), json::write_text(out, value);
    |reader| reader.text().to_owned(), reader.string().map(Cow::into_owned);
});

value!(['a] Text<'a> {
    |value, out| binary::write_text(out, value), json::write_text(out, value);
    |reader| Text(Cow::Borrowed(reader.text())), reader.string().map(Text);
    bound: ListBound::new(MAX_IDS, "more ids than one request may have");
});

value!(['a] Bytes<'a> {
    |value, out| binary::write_bytes(out, value), json::write_bytes(out, value);
    |reader| Bytes(Cow::Borrowed(reader.bytes())), reader.bytes().map(Bytes);
    bound: ListBound::new(MAX_FIELDS, "more fields than one add may have");
});

value!([] ByteString {
    |value, out| binary::write_bytes(out, value), json::write_bytes(out, value);
    |reader| ByteString(reader.bytes().to_owned()),
        reader.bytes().map(|bytes| ByteString(bytes.into_owned()));
});

// A word on the wire, so that an older client reads a reason of a later version as the default.
value!([] GapReason {
    |value, out| binary::write_text(out, value.as_str()), json::write_text(out, value.as_str());
    |reader| GapReason::of_word(reader.text()),
        reader.string().map(|word| GapReason::of_word(&word));
});

#[cfg(feature = "json")]
fn narrow(number: u64) -> Result<u32, ReadError> {
    u32::try_from(number).map_err(|_| ReadError::malformed("a number beyond 32 bits"))
}

impl Encode for &str {
    fn write_binary(&self, out: &mut Vec<u8>) {
        binary::write_text(out, self);
    }

    #[cfg(feature = "json")]
    fn write_json(&self, out: &mut Vec<u8>) {
        json::write_text(out, self);
    }
}

impl<T: Encode> Encode for Option<T> {
    fn write_binary(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.write_binary(out);
        }
    }

    #[cfg(feature = "json")]
    fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write_json(out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Option<T> {
    fn absent() -> Option<Self> {
        Some(None)
    }

    fn read_binary(reader: &mut Reader<'a>) -> Self {
        reader.optional()
    }

    #[cfg(feature = "json")]
    fn read_json(reader: &mut JsonReader<'a>) -> Result<Self, ReadError> {
        reader.optional()
    }
}

impl<T: Encode> Encode for &[T] {
    fn write_binary(&self, out: &mut Vec<u8>) {
        binary::write_list(out, self);
    }

    #[cfg(feature = "json")]
    fn write_json(&self, out: &mut Vec<u8>) {
        json::write_list(out, self);
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn write_binary(&self, out: &mut Vec<u8>) {
        binary::write_list(out, self);
    }

    #[cfg(feature = "json")]
    fn write_json(&self, out: &mut Vec<u8>) {
        json::write_list(out, self);
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Vec<T> {
    fn read_binary(reader: &mut Reader<'a>) -> Self {
        reader.list()
    }

    #[cfg(feature = "json")]
    fn read_json(reader: &mut JsonReader<'a>) -> Result<Self, ReadError> {
        reader.list()
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn write_binary(&self, out: &mut Vec<u8>) {
        self.0.write_binary(out);
        self.1.write_binary(out);
    }

    #[cfg(feature = "json")]
    fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        self.0.write_json(out);
        out.push(b',');
        self.1.write_json(out);
        out.push(b']');
    }
}

impl<'a, A: Decode<'a>, B: Decode<'a>> Decode<'a> for (A, B) {
    const BOUND: Option<ListBound> = A::BOUND;

    fn read_binary(reader: &mut Reader<'a>) -> Self {
        (A::read_binary(reader), B::read_binary(reader))
    }

    #[cfg(feature = "json")]
    fn read_json(reader: &mut JsonReader<'a>) -> Result<Self, ReadError> {
        reader.pair()
    }
}

impl Encode for Entry {
    fn write_binary(&self, out: &mut Vec<u8>) {
        self.id.write_binary(out);
        self.fields.write_binary(out);
    }

    #[cfg(feature = "json")]
    fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        self.id.write_json(out);
        out.push(b',');
        self.fields.write_json(out);
        out.push(b']');
    }
}

impl<'a> Decode<'a> for Entry {
    fn read_binary(reader: &mut Reader<'a>) -> Self {
        Self {
            id: Decode::read_binary(reader),
            fields: Decode::read_binary(reader),
        }
    }

    #[cfg(feature = "json")]
    fn read_json(reader: &mut JsonReader<'a>) -> Result<Self, ReadError> {
        let (id, fields) = reader.pair()?;
        Ok(Self { id, fields })
    }
}
