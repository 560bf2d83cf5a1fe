//! What an attack is: a name, a server to attack, what is done to it, and what that may cost.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::bounds::Bounds;
use crate::deployment::{ServerSetup, Store};
use crate::scene::Scene;

/// A part of an attack. It reports what went wrong to the [`Scene`]; an error ends the attack.
pub(crate) type Step = for<'a> fn(&'a Scene) -> BoxFuture<'a, anyhow::Result<()>>;

/// An attack, as the families declare it.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) stores: &'static [Store],
    pub(crate) server: ServerSetup,
    pub(crate) bounds: Bounds,
    /// Fills streams. Neither its memory nor its time counts.
    pub(crate) prepare: Option<Step>,
    pub(crate) run: Step,
}

impl Attack {
    /// Declares an attack on a server with Redis and the default settings.
    pub(crate) const fn new(name: &'static str, about: &'static str, run: Step) -> Self {
        Self {
            name,
            about,
            stores: &[Store::Redis],
            server: ServerSetup::DEFAULT,
            bounds: Bounds::DEFAULT,
            prepare: None,
            run,
        }
    }

    /// Also attacks a server whose streams are in memory.
    pub(crate) const fn on_both(mut self) -> Self {
        self.stores = &[Store::Redis, Store::Memory];
        self
    }

    /// Attacks only a server whose streams are in memory.
    pub(crate) const fn on_memory(mut self) -> Self {
        self.stores = &[Store::Memory];
        self
    }

    pub(crate) const fn prepare(mut self, prepare: Step) -> Self {
        self.prepare = Some(prepare);
        self
    }

    pub(crate) const fn server(mut self, server: ServerSetup) -> Self {
        self.server = server;
        self
    }

    pub(crate) const fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }
}

impl fmt::Debug for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attack")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
