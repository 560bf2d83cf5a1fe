//! `SubscribingBackend` by calls on the control socket. The script reads the next item only when a
//! call asks for it, so a subscription that is not polled here is not read there either.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde_json::{Value, json};
use streamgate_protocol::{
    Bytes, CacheResult, ConsumeOptions, Deliveries, Gap, SubscribingBackend, Tail, TailFrom,
    TailItem,
};

use super::message::{Command, Pulled};
use super::packed;
use super::script_client::{ScriptClient, number, wrong};

impl SubscribingBackend for ScriptClient {
    fn tail_stream(&self, stream_key: Bytes<'_>, from: TailFrom) -> Tail {
        let args = start(from).map(|from| json!([packed::name(&stream_key), from]));
        let items = self.subscribe("tail", args).flat_map(|pulled| {
            stream::iter(match pulled.and_then(items) {
                Ok(items) => items.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        });
        items.boxed()
    }

    fn consume_group(
        &self,
        stream_key: Bytes<'_>,
        group_name: Bytes<'_>,
        consumer_name: Bytes<'_>,
        options: ConsumeOptions,
    ) -> Deliveries {
        let options = numbers(&options).map(|[batch, claim_after_ms, max_deliveries]| {
            json!({
                "batch": batch,
                "claimAfterMs": claim_after_ms,
                "maxDeliveries": max_deliveries,
                "deadLetter": options.dead_letter.as_ref().map(packed::name),
                "createFrom": options.create_from,
            })
        });
        let [stream, group, consumer] =
            [&stream_key, &group_name, &consumer_name].map(packed::name);
        let args = options.map(|options| json!([stream, group, consumer, options]));
        self.subscribe("consume", args)
            .map(|pulled| match pulled? {
                Pulled {
                    entries,
                    gap: None,
                    position: None,
                } => Ok(entries),
                pulled => Err(wrong(&format!("a consumer returned {pulled:?}"))),
            })
            .boxed()
    }
}

/// The numeric options, which must not exceed `Number.MAX_SAFE_INTEGER`.
fn numbers(options: &ConsumeOptions) -> CacheResult<[Option<u64>; 3]> {
    let batch = number(options.batch as u64)?;
    let all = [Some(batch), options.claim_after_ms, options.max_deliveries];
    for value in all.into_iter().flatten() {
        number(value)?;
    }
    Ok(all)
}

impl ScriptClient {
    /// The items of the package's subscription, until it throws or ends.
    fn subscribe(
        &self,
        method: &'static str,
        args: CacheResult<Value>,
    ) -> BoxStream<'static, CacheResult<Pulled>> {
        let first = Some((self.clone(), None::<EndOnDrop>));
        stream::unfold(first, move |state| {
            let args = args.clone();
            async move {
                let (client, open) = state?;
                let (result, subscription) = match open {
                    None => match args {
                        Ok(args) => {
                            let subscription = EndOnDrop::new(&client);
                            let args = json!([subscription.s, args]);
                            (client.call(method, args).await, Some(subscription))
                        }
                        Err(error) => (Err(error), None),
                    },
                    Some(subscription) => {
                        let args = json!([subscription.s]);
                        (client.call("next", args).await, Some(subscription))
                    }
                };
                match result {
                    Ok(result) => {
                        // Without one, the subscription has ended.
                        let pulled = *result.pulled?;
                        Some((Ok(pulled), subscription.map(|s| (client, Some(s)))))
                    }
                    Err(error) => Some((Err(error), None)),
                }
            }
        })
        .boxed()
    }
}

/// A subscription of the script, which ends when this is dropped.
struct EndOnDrop {
    client: ScriptClient,
    s: u64,
}

impl EndOnDrop {
    fn new(client: &ScriptClient) -> Self {
        let (client, s) = (client.clone(), client.number());
        Self { client, s }
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.client.send_command(Command::End { end: self.s });
    }
}

/// The option `from` of the package.
fn start(from: TailFrom) -> CacheResult<Value> {
    Ok(match from {
        TailFrom::Beginning => json!("beginning"),
        TailFrom::Now => json!("now"),
        TailFrom::After(id) => json!(id),
        TailFrom::Last(count) => json!({ "last": number(count as u64)? }),
        other => return Err(wrong(&format!("the package does not start from {other:?}"))),
    })
}

/// The package returns a gap together with the entries after it; the trait returns them in turn.
fn items(pulled: Pulled) -> CacheResult<Vec<TailItem>> {
    let Pulled {
        entries,
        gap,
        position: Some(position),
    } = pulled
    else {
        return Err(wrong("a tail returned no position"));
    };
    let gap = gap.map(Gap::from);
    if entries.is_empty()
        && let Some(gap) = &gap
        && gap.position != position
    {
        return Err(wrong(&format!("a tail is at {position} after {gap:?}")));
    }
    let after_gap =
        (gap.is_none() || !entries.is_empty()).then_some(TailItem::Entries { entries, position });
    Ok(gap
        .map(TailItem::Gap)
        .into_iter()
        .chain(after_gap)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::message::GapAnswer;

    fn gap() -> GapAnswer {
        let text = r#"{"after":"1-0","reason":"trimmed","position":"4-0"}"#;
        serde_json::from_str(text).unwrap()
    }

    fn pulled(ids: &[&str], gap: Option<GapAnswer>, position: Option<&str>) -> Pulled {
        Pulled {
            entries: ids
                .iter()
                .map(|id| streamgate_protocol::Entry::deleted(*id))
                .collect(),
            gap,
            position: position.map(str::to_owned),
        }
    }

    #[test]
    fn a_gap_comes_before_the_entries_after_it() {
        let items = items(pulled(&["5-0"], Some(gap()), Some("5-0"))).unwrap();
        assert_eq!(items[0], TailItem::Gap(gap().into()));
        assert!(matches!(&items[1], TailItem::Entries { position, .. } if position == "5-0"));
    }

    #[test]
    fn a_gap_alone_is_not_followed_by_an_empty_batch() {
        let gap_alone = items(pulled(&[], Some(gap()), Some("4-0"))).unwrap();
        assert_eq!(gap_alone, [TailItem::Gap(gap().into())]);
        assert!(items(pulled(&[], Some(gap()), Some("5-0"))).is_err());
        let first = items(pulled(&[], None, Some("5-0"))).unwrap();
        assert!(matches!(&first[..], [TailItem::Entries { .. }]));
    }

    #[test]
    fn a_tail_without_a_position_is_a_bug() {
        assert!(items(pulled(&[], None, None)).is_err());
    }
}
