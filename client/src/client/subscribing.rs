//! The subscriptions of a handle.

use std::future::ready;
use std::sync::Arc;

use futures_util::StreamExt as _;
use streamgate_protocol::message::{Item, Subscription};
use streamgate_protocol::{
    Bytes, ConsumeOptions, Deliveries, SubscribingBackend, Tail, TailFrom, TailItem,
};

use super::Client;
use super::subscription_stream::SubscriptionStream;

impl SubscribingBackend for Client {
    fn tail_stream(&self, stream_key: Bytes<'_>, from: TailFrom) -> Tail {
        let subscription = Subscription::Tail {
            stream: stream_key.into_owned(),
            from: from.into(),
        };
        let items = SubscriptionStream::new(Arc::clone(&self.driver), subscription);
        items
            .filter_map(|item| ready(item.map(tail_item).transpose()))
            .boxed()
    }

    fn consume_group(
        &self,
        stream_key: Bytes<'_>,
        group_name: Bytes<'_>,
        consumer_name: Bytes<'_>,
        options: ConsumeOptions,
    ) -> Deliveries {
        let subscription = Subscription::consume(stream_key, group_name, consumer_name, options);
        let subscription = subscription.into_owned();
        let items = SubscriptionStream::new(Arc::clone(&self.driver), subscription);
        let batches = items.filter_map(|item| {
            ready(match item {
                Ok(Item::Entries { entries, .. }) => Some(Ok(entries)),
                // A skipped entry stays pending. The engine treats any other item as a violation.
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            })
        });
        batches.boxed()
    }
}

/// The engine treats an item of any other kind as a violation.
fn tail_item(item: Item) -> Option<TailItem> {
    match item {
        Item::Entries { entries, position } => {
            let last = entries.last().map(|last| &last.id);
            // Every item of a tail has one of the two: the engine checks that.
            let position = position.or_else(|| last.cloned()).unwrap_or_default();
            Some(TailItem::Entries { entries, position })
        }
        Item::Gap(gap) => Some(TailItem::Gap(gap)),
        Item::Skipped(skipped) => Some(TailItem::Skipped(skipped)),
        _ => None,
    }
}
