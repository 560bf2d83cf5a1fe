//! Connections that add and read, opened as commands need them.

use super::command::Outcome;
use super::streams::{names, read_positions};
use super::{closed_loop, payload};

/// A connection that can have several calls in flight.
pub(super) trait StreamConnection: Sized {
    /// What opening a connection needs.
    type Config;

    async fn open(config: &Self::Config) -> anyhow::Result<Self>;

    /// Adds an entry with one field.
    async fn add(&self, stream: &str, value: &str) -> anyhow::Result<()>;

    /// Reads 100 entries after an id.
    async fn read(&self, after: String) -> anyhow::Result<()>;
}

/// Connections to one server.
pub(super) struct ConnectionPool<C: StreamConnection> {
    config: C::Config,
    connections: Vec<C>,
}

impl<C: StreamConnection> ConnectionPool<C> {
    pub(super) fn new(config: C::Config) -> Self {
        Self {
            config,
            connections: Vec::new(),
        }
    }

    /// Returns this many connections. Opens those that are missing.
    pub(super) async fn connect(&mut self, count: usize) -> anyhow::Result<&[C]> {
        while self.connections.len() < count {
            self.connections.push(C::open(&self.config).await?);
        }
        Ok(&self.connections[..count])
    }

    /// Keeps adds in flight, on each connection to a stream of its own.
    pub(super) async fn run_adds(
        &mut self,
        connections: usize,
        depth: usize,
        seconds: f64,
    ) -> anyhow::Result<Outcome> {
        let streams = names("bench:adds", connections);
        let value = payload::numbered(0);
        let connections = self.connect(connections).await?;
        let start_add = |i: usize, to| C::add(to, &streams[i], &value);
        closed_loop::run(connections, depth, seconds, start_add).await
    }

    /// Keeps reads in flight.
    pub(super) async fn run_reads(
        &mut self,
        connections: usize,
        depth: usize,
        seconds: f64,
    ) -> anyhow::Result<Outcome> {
        let connections = self.connect(connections).await?;
        let mut positions = read_positions();
        let start_read = |_, from| C::read(from, positions());
        closed_loop::run(connections, depth, seconds, start_read).await
    }
}
