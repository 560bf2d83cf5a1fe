//! The cases, one file a topic, and the list of all of them.
//!
//! A case is an async function that panics if the backend does not do what it should. It takes a
//! [`Fixture`], and a [`DirectRedis`] too if it needs Redis behind the backend, or [`Operations`] if
//! it performs operations that no method of the traits calls. Each file lists its
//! own with [`cases!`], and this file lists the files. A case or a file that is left out is dead
//! code, which fails to compile.

#![expect(
    clippy::unwrap_used,
    reason = "a case is a test: a panic is how it fails"
)]

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::fixture::{DirectRedis, Fixture, Operations};
use crate::run::Subject;

/// One case.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The file's name: the subject.
    pub topic: &'static str,
    /// The function's name: the rule.
    pub name: &'static str,
    /// Whether it moves so much data that it would starve small cases.
    pub heavy: bool,
    body: Body,
}

#[derive(Debug, Clone, Copy)]
enum Body {
    Everywhere(fn(Fixture) -> BoxFuture<'static, ()>),
    WithRedis(fn(Fixture, DirectRedis) -> BoxFuture<'static, ()>),
    WithOperations(fn(Fixture, Arc<dyn Operations>) -> BoxFuture<'static, ()>),
}

impl Case {
    const fn heavy(self) -> Self {
        Self {
            heavy: true,
            ..self
        }
    }

    /// `topic::name`.
    pub fn path(&self) -> String {
        format!("{}::{}", self.topic, self.name)
    }

    /// Whether it needs a backend on Redis.
    pub fn needs_redis(&self) -> bool {
        matches!(self.body, Body::WithRedis(_))
    }

    /// Whether it needs a backend that performs operations as data.
    pub fn needs_operations(&self) -> bool {
        matches!(self.body, Body::WithOperations(_))
    }

    /// The case on this backend, or `None` if it does not apply.
    pub fn on(&self, fixture: Fixture, subject: &Subject) -> Option<BoxFuture<'static, ()>> {
        match self.body {
            Body::Everywhere(body) => Some(body(fixture)),
            Body::WithRedis(body) => Some(body(fixture, subject.direct_redis.clone()?)),
            Body::WithOperations(body) => Some(body(fixture, subject.operations.clone()?)),
        }
    }
}

/// Every case.
pub fn all() -> Vec<Case> {
    TOPICS.concat()
}

/// Lists a file's cases, made from the functions themselves. `heavy` are those that move megabytes
/// or wait a thousand times at once. `needs_redis` are those that take a [`DirectRedis`] too, and
/// `needs_operations` those that take [`Operations`].
macro_rules! cases {
    (
        $($everywhere:ident,)*
        $(; heavy: $($heavy:ident,)*)?
        $(; needs_redis: $($with:ident,)*)?
        $(; needs_operations: $($operations:ident,)*)?
    ) => {
        pub(super) const CASES: &[$crate::cases::Case] = &[
            $($crate::cases::everywhere(
                module_path!(),
                stringify!($everywhere),
                |fixture| Box::pin($everywhere(fixture)),
            ),)*
            $($($crate::cases::everywhere(
                module_path!(),
                stringify!($heavy),
                |fixture| Box::pin($heavy(fixture)),
            ).heavy(),)*)?
            $($($crate::cases::with_redis(
                module_path!(),
                stringify!($with),
                |fixture, direct_redis| Box::pin($with(fixture, direct_redis)),
            ),)*)?
            $($($crate::cases::with_operations(
                module_path!(),
                stringify!($operations),
                |fixture, operations| Box::pin($operations(fixture, operations)),
            ),)*)?
        ];
    };
}

/// Declares the files and lists their cases.
macro_rules! topics {
    ($($topic:ident,)*) => {
        $(mod $topic;)*
        const TOPICS: &[&[Case]] = &[$($topic::CASES,)*];
        #[cfg(test)]
        const FILES: &[&str] = &[$(stringify!($topic),)*];
    };
}

topics! {
    ack,
    ack_ids,
    add,
    add_values,
    bytes,
    cancel,
    claim,
    consume,
    consume_claim,
    consume_create,
    consume_dead_letter,
    consume_end,
    consumers,
    create_group,
    deleted,
    group_wait,
    limits,
    many,
    not_text,
    pending,
    read,
    read_from_now,
    read_group,
    read_ids,
    read_latest,
    read_pending,
    remove_consumer,
    sizes,
    tail,
    tail_deleted,
    tail_end,
    tail_from,
    tail_gap,
    tail_join,
    tail_rolled_back,
    tail_slow,
    trim,
    wait,
    wait_length,
    wrong_type,
}

const fn everywhere(
    module: &'static str,
    name: &'static str,
    body: fn(Fixture) -> BoxFuture<'static, ()>,
) -> Case {
    Case {
        topic: last_segment(module),
        name,
        heavy: false,
        body: Body::Everywhere(body),
    }
}

const fn with_redis(
    module: &'static str,
    name: &'static str,
    body: fn(Fixture, DirectRedis) -> BoxFuture<'static, ()>,
) -> Case {
    Case {
        topic: last_segment(module),
        name,
        heavy: false,
        body: Body::WithRedis(body),
    }
}

const fn with_operations(
    module: &'static str,
    name: &'static str,
    body: fn(Fixture, Arc<dyn Operations>) -> BoxFuture<'static, ()>,
) -> Case {
    Case {
        topic: last_segment(module),
        name,
        heavy: false,
        body: Body::WithOperations(body),
    }
}

const fn last_segment(module: &'static str) -> &'static str {
    let bytes = module.as_bytes();
    let mut start = bytes.len();
    while start > 0 && bytes[start - 1] != b':' {
        start -= 1;
    }
    module.split_at(start).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_topic() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cases");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let topics: Vec<_> = FILES.iter().map(|topic| format!("{topic}.rs")).collect();
        assert_eq!(files, topics);
    }

    #[test]
    fn no_two_cases_have_the_same_path() {
        let mut paths: Vec<_> = all().iter().map(Case::path).collect();
        paths.sort();
        let count = paths.len();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }

    #[test]
    fn every_topic_has_cases() {
        assert!(TOPICS.iter().all(|cases| !cases.is_empty()));
    }
}
