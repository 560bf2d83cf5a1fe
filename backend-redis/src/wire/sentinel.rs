//! The commands of a Sentinel, and its answers.

use redis::Value;

use crate::wire::commands::CommandWriter;

/// What a Sentinel knows of a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MasterAnswer {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Number of the failover that made it the master: a higher one is newer.
    pub(crate) epoch: u64,
}

/// Asks for the epoch of a master, and for its address.
///
/// `SENTINEL MASTER` tells the address too. But a Sentinel that leads a failover goes on telling the
/// old one, with the new epoch, until it has moved all replicas.
pub(crate) fn master(to: &mut impl CommandWriter, name: &str) {
    for question in ["MASTER", "GET-MASTER-ADDR-BY-NAME"] {
        to.command("SENTINEL", 2);
        to.argument(question.as_bytes());
        to.argument(name.as_bytes());
    }
}

/// Decodes the two answers: names and values, in one list or as a map; and an address.
pub(crate) fn decode_master(answers: Vec<Value>) -> Option<MasterAnswer> {
    let [master, address] = <[Value; 2]>::try_from(answers).ok()?;
    let pairs = match master {
        Value::Map(pairs) => pairs,
        Value::Array(list) => {
            let mut list = list.into_iter();
            std::iter::from_fn(|| Some((list.next()?, list.next()?))).collect()
        }
        _ => return None,
    };
    let is_epoch = |(name, _): &&(Value, Value)| text(name) == Some("config-epoch");
    let (_, epoch) = pairs.iter().find(is_epoch)?;
    let Value::Array(address) = address else {
        return None;
    };
    let [host, port] = <[Value; 2]>::try_from(address).ok()?;
    Some(MasterAnswer {
        host: text(&host)?.to_owned(),
        port: text(&port)?.parse().ok()?,
        epoch: text(epoch)?.parse().ok()?,
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
            ("ip", "10.0.0.6"),
            ("port", "6379"),
            ("config-epoch", "12"),
        ];
        let expected = MasterAnswer {
            host: "10.0.0.7".to_owned(),
            port: 6_380,
            epoch: 12,
        };
        let address = || Value::Array(vec![text("10.0.0.7"), text("6380")]);
        let list = pairs
            .map(|(name, value)| [text(name), text(value)])
            .concat();
        let decoded = decode_master(vec![Value::Array(list), address()]);
        assert_eq!(decoded.as_ref(), Some(&expected));
        let map = || Value::Map(pairs.map(|(name, value)| (text(name), text(value))).into());
        let decoded = decode_master(vec![map(), address()]);
        assert_eq!(decoded.as_ref(), Some(&expected));
        for incomplete in [
            vec![],
            vec![map()],
            vec![map(), Value::Nil],
            vec![map(), Value::Array(vec![text("host")])],
            vec![Value::Map(Vec::new()), address()],
            vec![Value::Array(vec![text("config-epoch")]), address()],
        ] {
            assert_eq!(decode_master(incomplete), None);
        }
    }
}
