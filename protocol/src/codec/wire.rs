//! What a type needs to travel, and the macros that implement it in one line a type.
//!
//! A *record* is a list of named fields that may gain optional ones. A *choice* is one of several
//! alternatives, each with a number, a name and a record. `types.rs` lists all of them.

use super::binary::Reader;
#[cfg(feature = "json")]
use super::json::JsonReader;

/// A value that can be encoded in both encodings.
pub trait Encode {
    /// Appends the value in the binary encoding.
    fn write_binary(&self, out: &mut Vec<u8>);

    /// Appends the value as JSON.
    #[cfg(feature = "json")]
    fn write_json(&self, out: &mut Vec<u8>);
}

/// A value that can be decoded from both encodings.
pub trait Decode<'a>: Sized {
    /// The bound of a list of such values, or of pairs that begin with one. It holds for lists that
    /// only clients send.
    const BOUND: Option<ListBound> = None;

    /// Returns the value of a field that its record does not have: `None` if it must have one.
    fn absent() -> Option<Self> {
        None
    }

    /// Reads the value from the binary encoding. If there is no such value, the reader fails, and
    /// the returned value means nothing.
    fn read_binary(reader: &mut Reader<'a>) -> Self;

    /// Reads the value from JSON.
    ///
    /// # Errors
    ///
    /// [`ReadError`], if there is no such value.
    #[cfg(feature = "json")]
    fn read_json(reader: &mut JsonReader<'a>) -> Result<Self, ReadError>;
}

/// A record: its fields without its length.
pub(super) trait Record<'a>: Decode<'a> {
    fn read_fields(reader: &mut Reader<'a>) -> Self;
}

/// A choice: an alternative by its number.
pub trait Choice<'a>: Decode<'a> {
    /// Reads the record of an alternative. `reader` ends where the record ends. If the number is
    /// unknown, or the record malformed, the reader fails, and the returned value means nothing.
    fn read_alternative(number: u64, reader: &mut Reader<'a>) -> Self;
}

/// How many items a list may have. Checked before memory is taken for them.
#[derive(Debug, Clone, Copy)]
pub struct ListBound {
    pub(super) max_items: usize,
    pub(super) exceeded: ReadError,
}

impl ListBound {
    pub(super) const fn new(max_items: usize, reason: &'static str) -> Option<Self> {
        let kind = ReadErrorKind::Limit;
        let exceeded = ReadError { kind, reason };
        Some(Self {
            max_items,
            exceeded,
        })
    }
}

/// Why a value cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadError {
    pub(super) kind: ReadErrorKind,
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadErrorKind {
    Malformed,
    /// An alternative of a choice that this version does not have.
    Unknown,
    /// A list beyond its [`ListBound`].
    Limit,
}

/// A choice has an alternative that this version does not have.
pub(super) const UNKNOWN: ReadError = ReadError::unknown("unknown choice");

impl ReadError {
    pub(super) const fn malformed(reason: &'static str) -> Self {
        let kind = ReadErrorKind::Malformed;
        Self { kind, reason }
    }

    pub(super) const fn unknown(reason: &'static str) -> Self {
        let kind = ReadErrorKind::Unknown;
        Self { kind, reason }
    }
}

/// Implements the traits for a record: `record!(Type<'a> { first, second })`.
macro_rules! record {
    ($type:ident $(<$life:lifetime>)? { $($field:ident),* $(,)? }) => {
        impl $(<$life>)? Encode for $type $(<$life>)? {
            fn write_binary(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                wire::write_content!(out, { $($field),* });
            }

            #[cfg(feature = "json")]
            fn write_json(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                wire::write_json_content!(out, { $($field),* });
            }
        }

        impl<'a> Decode<'a> for $type $(<$life>)? {
            fn read_binary(reader: &mut Reader<'a>) -> Self {
                reader.record(Self::read_fields)
            }

            #[cfg(feature = "json")]
            fn read_json(reader: &mut JsonReader<'a>) -> Result<Self, ReadError> {
                wire::read_json_content!(reader, (Self), { $($field),* })
            }
        }

        impl<'a> Record<'a> for $type $(<$life>)? {
            fn read_fields(reader: &mut Reader<'a>) -> Self {
                Self { $($field: reader.field()),* }
            }
        }
    };
}

/// Implements the traits for a choice: one line for each alternative, with its number, its name in
/// JSON, its variant, and its record: `{ fields }`, or `(name)` for a type that is a record itself.
macro_rules! choice {
    ($type:ident $(<$life:lifetime>)? {
        $($number:literal $name:ident $variant:ident $content:tt,)*
    }) => {
        impl $(<$life>)? Encode for $type $(<$life>)? {
            fn write_binary(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $content => {
                        binary::write_uint(out, $number);
                        wire::write_content!(out, $content);
                    })*
                }
            }

            #[cfg(feature = "json")]
            fn write_json(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $content => {
                        out.extend_from_slice(concat!("{\"", stringify!($name), "\":").as_bytes());
                        wire::write_json_content!(out, $content);
                        out.push(b'}');
                    })*
                }
            }
        }

        impl<'a> Decode<'a> for $type $(<$life>)? {
            fn read_binary(reader: &mut Reader<'a>) -> Self {
                let number = reader.uint();
                reader.record(|reader| Self::read_alternative(number, reader))
            }

            #[cfg(feature = "json")]
            fn read_json(reader: &mut JsonReader<'a>) -> Result<Self, ReadError> {
                let mut object = reader.object()?;
                let Some(name) = reader.key(&mut object)? else {
                    return Err(ReadError::malformed("an object without a key"));
                };
                let value = match &*name {
                    $(stringify!($name) => {
                        wire::read_json_content!(reader, (Self::$variant), $content)
                    })*
                    _ => Err(ReadError::unknown(concat!("unknown ", stringify!($type)))),
                }?;
                reader.end_choice(&mut object)?;
                Ok(value)
            }
        }

        impl<'a> Choice<'a> for $type $(<$life>)? {
            fn read_alternative(number: u64, reader: &mut Reader<'a>) -> Self {
                match number {
                    $($number => wire::read_content!(reader, (Self::$variant), $content),)*
                    _ => {
                        reader.fail(wire::UNKNOWN);
                        // Any alternative will do: its value means nothing.
                        Self::read_alternative(0, reader)
                    }
                }
            }
        }
    };
}

macro_rules! write_content {
    ($out:ident, { $($field:ident),* }) => {
        binary::write_record($out, |_out| { $($field.write_binary(_out);)* })
    };
    ($out:ident, ($record:ident)) => { $record.write_binary($out) };
}

macro_rules! read_content {
    ($reader:ident, ($($path:tt)+), { $($field:ident),* }) => {
        $($path)+ { $($field: $reader.field()),* }
    };
    ($reader:ident, ($($path:tt)+), ($record:ident)) => {
        $($path)+(Record::read_fields($reader))
    };
}

#[cfg(feature = "json")]
macro_rules! write_json_content {
    ($out:ident, { }) => { $out.extend_from_slice(b"{}") };
    ($out:ident, { $first:ident $(, $field:ident)* }) => {{
        $out.extend_from_slice(concat!("{\"", stringify!($first), "\":").as_bytes());
        $first.write_json($out);
        $(
            $out.extend_from_slice(concat!(",\"", stringify!($field), "\":").as_bytes());
            $field.write_json($out);
        )*
        $out.push(b'}');
    }};
    ($out:ident, ($record:ident)) => { $record.write_json($out) };
}

#[cfg(feature = "json")]
macro_rules! read_json_content {
    ($reader:ident, ($($path:tt)+), { $($field:ident),* }) => {{
        let mut object = $reader.object()?;
        $(let mut $field = None;)*
        while let Some(key) = $reader.key(&mut object)? {
            match &*key {
                $(stringify!($field) => $reader.field(&mut $field)?,)*
                _ => $reader.unknown_field(&mut object, key)?,
            }
        }
        object.end()?;
        Ok($($path)+ {
            $($field: json::present(
                $field,
                concat!("missing field `", stringify!($field), "`"),
            )?),*
        })
    }};
    ($reader:ident, ($($path:tt)+), ($record:ident)) => {
        Decode::read_json($reader).map($($path)+)
    };
}

pub(super) use {choice, read_content, record, write_content};
#[cfg(feature = "json")]
pub(super) use {read_json_content, write_json_content};
