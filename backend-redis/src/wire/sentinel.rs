//! The commands of a Sentinel, and its answers.

use redis::Value;

use crate::wire::commands::CommandWriter;

/// What a Sentinel knows of a master.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MasterAnswer {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Number of the failover that made it the master: a higher one is newer.
    pub(crate) epoch: u64,
}

/// Asks for a master.
pub(crate) fn master(to: &mut impl CommandWriter, name: &str) {
    to.command("SENTINEL", 2);
    to.argument(b"MASTER");
    to.argument(name.as_bytes());
}

/// Decodes the answer: names and values, in one list or as a map.
pub(crate) fn decode_master(answer: Value) -> Option<MasterAnswer> {
    let pairs = match answer {
        Value::Map(pairs) => pairs,
        Value::Array(list) => {
            let mut list = list.into_iter();
            std::iter::from_fn(|| Some((list.next()?, list.next()?))).collect()
        }
        _ => return None,
    };
    let find = |wanted: &str| {
        let value = pairs.iter().find(|(name, _)| text(name) == Some(wanted));
        text(&value?.1)
    };
    Some(MasterAnswer {
        host: find("ip")?.to_owned(),
        port: find("port")?.parse().ok()?,
        epoch: find("config-epoch")?.parse().ok()?,
    })
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_is_decoded_from_both_protocols() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let pairs = [
            ("name", "orders"),
            ("ip", "10.0.0.7"),
            ("port", "6380"),
            ("config-epoch", "12"),
        ];
        let expected = MasterAnswer {
            host: "10.0.0.7".to_owned(),
            port: 6_380,
            epoch: 12,
        };
        let list = pairs
            .map(|(name, value)| [text(name), text(value)])
            .concat();
        assert_eq!(decode_master(Value::Array(list)).as_ref(), Some(&expected));
        let map = pairs.map(|(name, value)| (text(name), text(value)));
        let map = Value::Map(map.into());
        assert_eq!(decode_master(map).as_ref(), Some(&expected));
        for incomplete in [
            Value::Nil,
            Value::Array(vec![text("ip")]),
            Value::Map(Vec::new()),
        ] {
            assert_eq!(decode_master(incomplete), None);
        }
    }
}
