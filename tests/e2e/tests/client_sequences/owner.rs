//! The owner of the client under test: its calls and its loops, by name.

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use streamgate_client::{
    CacheError, CacheResult, Client, ConsumeOptions, Entry, StreamEntry, SubscribingBackend,
    TailItem,
};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::{Outcome, Subscription};
use streamgate_protocol::{ClientMessage, Operation, PerformOperation, Reply, ServerMessage};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::server_socket::HANG_LIMIT;

pub(crate) struct Owner {
    pub(crate) client: Client,
    calls: HashMap<String, JoinHandle<CacheResult<Reply>>>,
    loops: HashMap<String, Loop>,
}

/// A loop over a subscription. Dropping it leaves the loop.
struct Loop {
    task: JoinHandle<()>,
    items: mpsc::UnboundedReceiver<CacheResult<Value>>,
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Owner {
    pub(crate) fn of(client: Client) -> Self {
        Self {
            client,
            calls: HashMap::new(),
            loops: HashMap::new(),
        }
    }

    pub(crate) async fn call(&mut self, name: &str, operation: &Value) -> anyhow::Result<()> {
        let operation = parse_operation(operation)?;
        let client = self.client.clone();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let call = tokio::spawn(async move {
            let mut call = Box::pin(client.perform_operation(operation));
            // The first poll makes the call.
            let first = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(std::future::Future::poll(call.as_mut(), cx))
            });
            let first = first.await;
            let _ = begun.send(());
            match first {
                std::task::Poll::Ready(result) => result,
                std::task::Poll::Pending => call.await,
            }
        });
        has_begun.await?;
        self.calls.insert(name.to_owned(), call);
        Ok(())
    }

    /// Waits for the end of a call, and returns its result.
    pub(crate) async fn result(&mut self, name: &str) -> anyhow::Result<CacheResult<Value>> {
        let call = self.calls.remove(name).context("there is no such call")?;
        let result = tokio::time::timeout(HANG_LIMIT, call).await;
        match result.context("the call did not end in time")?? {
            Ok(reply) => Ok(Ok(value_of(reply)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    pub(crate) async fn subscribe(
        &mut self,
        name: &str,
        subscription: &Value,
    ) -> anyhow::Result<()> {
        let mut items = match parse_subscription(subscription)? {
            Subscription::Tail { stream, from } => {
                let tail = self.client.tail_stream(stream, from.into());
                tail.map(|item| item.map(tail_item)).boxed()
            }
            Subscription::Consume {
                stream,
                group,
                consumer,
                batch,
                claim_after_ms,
                create_from,
                ..
            } => {
                let mut options = ConsumeOptions::default().batch(usize::try_from(batch)?);
                options.claim_after_ms = claim_after_ms;
                options.create_from = create_from.map(Into::into);
                let deliveries = self.client.consume_group(stream, group, consumer, options);
                deliveries.map(|batch| batch.map(entry_items)).boxed()
            }
            other => bail!("an unknown subscription: {other:?}"),
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(batch) = items.next().await {
                match batch {
                    Ok(items) => items.into_iter().for_each(|item| {
                        let _ = sender.send(Ok(item));
                    }),
                    Err(error) => {
                        let _ = sender.send(Err(error));
                    }
                }
            }
        });
        let items = receiver;
        self.loops.insert(name.to_owned(), Loop { task, items });
        Ok(())
    }

    pub(crate) async fn take(&mut self, name: &str, count: usize) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        while items.len() < count {
            match self.next(name).await? {
                Some(Ok(item)) => items.push(item),
                end => bail!("the loop ended with {end:?} after {items:?}"),
            }
        }
        Ok(items)
    }

    /// Waits for the end of a loop, and returns its error, if there is one.
    pub(crate) async fn end(&mut self, name: &str) -> anyhow::Result<Option<CacheError>> {
        match self.next(name).await?.transpose() {
            Ok(Some(item)) => bail!("the loop received {item}"),
            Ok(None) => Ok(None),
            Err(error) => Ok(Some(error)),
        }
    }

    /// Returns the next item of a loop, or `None` if it ended.
    async fn next(&mut self, name: &str) -> anyhow::Result<Option<CacheResult<Value>>> {
        let items = &mut self.loops.get_mut(name).context("no such loop")?.items;
        let next = tokio::time::timeout(HANG_LIMIT, items.recv()).await;
        next.context("no item in time")
    }

    /// Gives up a call, or leaves a loop.
    pub(crate) fn cancel(&mut self, name: &str) -> anyhow::Result<()> {
        match self.calls.remove(name) {
            Some(call) => call.abort(),
            None => ensure!(self.loops.remove(name).is_some(), "there is no such loop"),
        }
        Ok(())
    }
}

fn parse_operation(operation: &Value) -> anyhow::Result<Operation<'static>> {
    match parse(&json!({"request": {"id": 1, "operation": operation}}))? {
        ClientMessage::Request { operation, .. } => Ok(operation),
        other => bail!("no operation: {other:?}"),
    }
}

fn parse_subscription(subscription: &Value) -> anyhow::Result<Subscription<'static>> {
    let credit = json!({"entries": 1, "bytes": 1});
    let subscribe = json!({"id": 1, "subscription": subscription, "credit": credit});
    match parse(&json!({"subscribe": subscribe}))? {
        ClientMessage::Subscribe { subscription, .. } => Ok(subscription),
        other => bail!("no subscription: {other:?}"),
    }
}

fn parse(message: &Value) -> anyhow::Result<ClientMessage<'static>> {
    let line = message.to_string();
    let mut messages = Encoding::Json.messages::<ClientMessage<'_>>(line.as_bytes());
    let message = messages.next().and_then(Result::ok);
    match message.with_context(|| format!("not a message: {line}"))? {
        ClientMessage::Request { id, operation } => Ok(ClientMessage::Request {
            id,
            operation: operation.into_owned(),
        }),
        ClientMessage::Subscribe {
            id,
            subscription,
            credit,
        } => Ok(ClientMessage::Subscribe {
            id,
            subscription: subscription.into_owned(),
            credit,
        }),
        _ => bail!("another message: {line}"),
    }
}

/// Returns what an owner receives of a reply.
fn value_of(reply: Reply) -> anyhow::Result<Value> {
    let mut line = Vec::new();
    let outcome = Outcome::Ok(reply);
    Encoding::Json.append(&mut line, &ServerMessage::Reply { id: 1, outcome });
    let mut message: Value = serde_json::from_slice(&line)?;
    let reply = message["reply"]["outcome"]["ok"].take();
    let Value::Object(reply) = reply else {
        bail!("no reply: {reply}");
    };
    let (kind, mut value) = reply.into_iter().next().context("no reply")?;
    Ok(match kind.as_str() {
        "added" => value["id"].take(),
        "entries" => value["entries"].take(),
        "done" => Value::Null,
        "acknowledged" => value["count"].take(),
        "pending" => value["entries"].take(),
        "removed" => value["handed_over"].take(),
        "consumers" => value["consumers"].take(),
        "claimed" => {
            value.as_object_mut().context("a record")?.remove("more");
            value
        }
        _ => value,
    })
}

fn entry_items(entries: Vec<Entry>) -> Vec<Value> {
    entries
        .into_iter()
        .map(|entry| json!({"entry": StreamEntry::from(entry)}))
        .collect()
}

fn tail_item(item: TailItem) -> Vec<Value> {
    match item {
        TailItem::Entries { entries, .. } => entry_items(entries),
        TailItem::Gap(gap) => vec![json!({"gap": {
            "after": gap.after,
            "first": gap.first,
            "position": gap.position,
            "reason": gap.reason.as_str(),
        }})],
        TailItem::Skipped(skipped) => vec![json!({"skipped": {
            "id": skipped.id,
            "bytes": skipped.bytes,
            "reason": skipped.reason,
        }})],
        other => vec![json!({"unknown": format!("{other:?}")})],
    }
}
