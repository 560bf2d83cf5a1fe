//! Publishing with acknowledgement.

use anyhow::{Context, ensure};

use super::connection::Connection;
use crate::generator::payload;
use crate::generator::pipelined_adds::PipelinedAdder;
use crate::generator::streams::MAXLEN;

/// A connection with a stream of its own.
pub(super) struct Producer {
    connection: Connection,
    subject: String,
    inbox: String,
    value: String,
    /// The subject of each slot's acknowledgements.
    replies: Vec<String>,
}

impl Producer {
    pub(super) async fn start(url: &str, number: usize) -> anyhow::Result<Self> {
        let mut connection = Connection::open(url).await?;
        let (subject, inbox) = (format!("adds.{number}"), format!("acks.{number}"));
        let name = format!("ADDS{number}");
        connection.create_stream(&name, &subject, MAXLEN).await?;
        connection.subscribe(&format!("{inbox}.*"))?;
        connection.round_trip().await?;
        Ok(Self {
            connection,
            subject,
            inbox,
            value: payload::numbered(0),
            replies: Vec::new(),
        })
    }
}

impl PipelinedAdder for Producer {
    fn add(&mut self, slot: usize) -> anyhow::Result<()> {
        while self.replies.len() <= slot {
            let reply = format!("{}.{}", self.inbox, self.replies.len());
            self.replies.push(reply);
        }
        let reply = &self.replies[slot];
        self.connection.publish(&self.subject, reply, &self.value)
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        self.connection.flush().await
    }

    async fn receive(&mut self, free: &mut Vec<usize>) -> anyhow::Result<()> {
        self.connection
            .receive(|subject, ack| {
                ensure!(
                    is_ack(ack),
                    "NATS answered {:?} instead of an acknowledgement",
                    String::from_utf8_lossy(ack)
                );
                free.push(slot(subject)?);
                Ok(())
            })
            .await
    }
}

fn slot(subject: &str) -> anyhow::Result<usize> {
    let number = subject.rsplit('.').next().context("no subject")?;
    Ok(number.parse()?)
}

/// `{"stream":"ADDS0", "seq":1}`, and not `{"error":…`.
fn is_ack(payload: &[u8]) -> bool {
    payload.starts_with(b"{\"stream\"")
}
