//! Tails and `consume` loops in process.

use streamgate_protocol::{Bytes, ConsumeOptions, Deliveries, SubscribingBackend, Tail, TailFrom};

use crate::redis_streams::RedisStreams;
use streamgate_backend::consume::consume;
use streamgate_backend::tail::source::into_tail;

/// A tail outlives an unavailable Redis and misses nothing. Only a tail without its first item
/// ends with `DISCONNECTED` then.
impl SubscribingBackend for RedisStreams {
    fn tail_stream(&self, stream_key: Bytes<'_>, from: TailFrom) -> Tail {
        into_tail(self.redis_tail(&stream_key, from))
    }

    fn consume_group(
        &self,
        stream_key: Bytes<'_>,
        group_name: Bytes<'_>,
        consumer_name: Bytes<'_>,
        options: ConsumeOptions,
    ) -> Deliveries {
        consume(self, stream_key, group_name, consumer_name, options)
    }
}
