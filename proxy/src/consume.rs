//! A group's entries as they come, in this process.

use futures_util::stream::{self, StreamExt};
use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, ConsumeOptions, Deliveries, StreamingBackend};

/// Reads of a group that wait without a limit, one after the other.
pub(crate) fn consume<B: StreamingBackend + Clone + 'static>(
    backend: &B,
    stream_key: &str,
    group_name: &str,
    consumer_name: &str,
    options: &ConsumeOptions,
) -> Deliveries {
    let names = [stream_key, group_name, consumer_name].map(str::to_owned);
    let batch = options.batch;
    stream::unfold(Some(backend.clone()), move |backend| {
        let [stream, group, consumer] = names.clone();
        async move {
            let backend = backend?;
            if batch == 0 {
                let why = "a batch needs at least one entry";
                return Some((Err(CacheError::from_code(code::ERR, why)), None));
            }
            let read = backend.stream_read_group(&stream, &group, &consumer, batch, Some(0));
            let read = read.await;
            let rest = read.is_ok().then_some(backend);
            Some((read, rest))
        }
    })
    .boxed()
}
