//! Operations that a backend performs with its six methods.

use streamgate_backend::{Backend, PerformOptions, ReclaimStep};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::{Operation, Reply};

use crate::six_operations::SixOperations;

fn read(block_ms: Option<u64>) -> Operation<'static> {
    Operation::Read {
        stream: "s".into(),
        last_id: "$".into(),
        count: 1,
        block_ms,
    }
}

#[tokio::test]
async fn a_wait_misses_nothing_that_is_added_after_it_in_the_list() {
    let backend = SixOperations(MemoryStreams::new());
    let add = Operation::Add {
        stream: "s".into(),
        fields: vec![("f".into(), "v".into())],
        maxlen: None,
    };
    let mut progress = backend
        .perform(vec![read(Some(0)), add], PerformOptions::default())
        .await
        .into_iter();
    let (read, added) = (progress.next().unwrap(), progress.next().unwrap());
    let id = added.finish().await.unwrap().into_added().unwrap();
    assert_eq!(
        read.finish().await.unwrap().into_entries().unwrap()[0].id,
        id
    );
}

#[tokio::test]
async fn operations_on_pending_entries_are_refused() {
    let backend = SixOperations(MemoryStreams::new());
    let (stream, group) = ("s".into(), "g".into());
    let summary = Operation::PendingSummary { stream, group };
    let refused = backend
        .perform(vec![summary], PerformOptions::default())
        .await
        .remove(0)
        .finish()
        .await;
    assert_eq!(refused.unwrap_err().code(), "ERR");
    let options = streamgate_protocol::ConsumeOptions::default().claim_after_ms(1);
    let consume = streamgate_protocol::message::Subscription::consume("s", "g", "c", options);
    let step = ReclaimStep::first(&consume).unwrap();
    assert_eq!(backend.reclaim(step).await.unwrap_err().code(), "ERR");
}

#[tokio::test]
async fn an_empty_reply_names_the_id_that_dollar_stands_for() {
    let backend = SixOperations(MemoryStreams::new());
    for block_ms in [None, Some(1)] {
        let progress = backend
            .perform(vec![read(block_ms)], PerformOptions::default())
            .await
            .remove(0);
        let reply = progress.finish().await.unwrap();
        let last_id = Some("0-0".to_owned());
        assert_eq!(
            reply,
            Reply::Entries {
                entries: Vec::new(),
                last_id,
                more: false,
            }
        );
    }
}
