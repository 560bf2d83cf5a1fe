//! Rights: what they permit is what a plain reading of their patterns permits, and no subject reaches
//! the names of another.
//!
//! The input has lines of fields between bars: what is asked (a letter, stream, group, consumer, a
//! second name, a number); the claims of a token; those of another one; and the rights of a role
//! (letters of permissions, patterns of streams, of groups, of consumers, prefix, `maxlen`,
//! `max_count`).

#![no_main]

use std::iter::once;

use libfuzzer_sys::fuzz_target;
use streamgate::fuzzing::TokenRights;
use streamgate::{Permission, RightRule, Role};
use streamgate_protocol::Operation;
use streamgate_protocol::error::code;
use streamgate_protocol::message::{Subscription, TailStart};

const RESERVED: &[u8] = b"streamgate:";

/// More than the longest refusal, which quotes 64 characters.
const MAX_REFUSAL_BYTES: usize = 512;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let Some(question) = lines.next().and_then(Question::parse) else {
        return;
    };
    let (Some(own), Some(others)) = (lines.next().and_then(claims), lines.next().and_then(claims))
    else {
        return;
    };
    let Some(rules) = lines.map(rule).collect::<Option<Vec<_>>>() else {
        return;
    };
    let role = Role::new(rules.clone());
    assert_eq!(
        role.is_ok(),
        rules.iter().all(is_valid),
        "{rules:?}: {role:?}"
    );
    let Ok(role) = role else { return };
    for rule in &rules {
        let patterns = rule
            .streams
            .iter()
            .chain(&rule.groups)
            .chain(&rule.consumers);
        for pattern in patterns {
            let start = pattern.strip_suffix('*');
            let (text, goes_on) = (start.unwrap_or(pattern), start.is_some());
            check_that_subjects_are_apart(text, goes_on, &own, &others);
        }
        if let Some(prefix) = &rule.prefix {
            check_that_subjects_are_apart(prefix, true, &own, &others);
        }
    }
    let expected = question.expected(&rules, &own);
    let rights = TokenRights::new(&role, &|name| own.value(name));
    let actual = match question.asked() {
        Asked::Operation(mut operation) => rights
            .permit_operation(&mut operation)
            .map(|()| Permitted(Asked::Operation(operation), None)),
        Asked::Subscription(mut subscription) => rights
            .permit_subscription(&mut subscription)
            .map(|maxlen| Permitted(Asked::Subscription(subscription), maxlen)),
    };
    if let Err(refused) = &actual {
        assert_eq!(refused.code(), code::NOPERM);
        assert!(refused.to_string().len() <= MAX_REFUSAL_BYTES, "{refused}");
    }
    assert_eq!(actual.ok(), expected, "{rules:?} {own:?}");
});

/// What is asked, with the names of the client.
#[derive(Debug, Clone)]
struct Question<'i> {
    kind: u8,
    stream: Vec<u8>,
    group: &'i [u8],
    consumer: &'i [u8],
    /// Of a consumer, where its dead letters go, if anywhere; or a new owner.
    second: Vec<u8>,
    number: Option<u64>,
}

#[derive(Debug, PartialEq)]
enum Asked<'i> {
    Operation(Operation<'i>),
    Subscription(Subscription<'i>),
}

/// What is done instead of what was asked, and the bound of a dead-letter stream.
#[derive(Debug, PartialEq)]
struct Permitted<'i>(Asked<'i>, Option<u64>);

struct Need<'q> {
    permission: Permission,
    stream: &'q [u8],
    group: Option<&'q [u8]>,
    consumers: Vec<&'q [u8]>,
}

impl<'i> Question<'i> {
    fn parse(line: &'i [u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b'|');
        let kind = *fields.next()?.first()?;
        let mut next = || fields.next().unwrap_or_default();
        let (stream, group, consumer, second) = (next(), next(), next(), next());
        Some(Self {
            kind,
            stream: stream.to_vec(),
            group,
            consumer,
            second: second.to_vec(),
            number: std::str::from_utf8(next()).ok()?.parse().ok(),
        })
    }

    fn buries(&self) -> bool {
        !self.second.is_empty()
    }

    fn claims(&self) -> bool {
        self.number.is_some_and(|number| number & 1 != 0)
    }

    fn creates(&self) -> bool {
        self.number.is_some_and(|number| number & 2 != 0)
    }

    fn asked(&self) -> Asked<'i> {
        self.clone().with_count(self.count())
    }

    fn count(&self) -> u64 {
        self.number.unwrap_or(0)
    }

    /// Builds what is asked. Each number that could be a count is this one.
    fn with_count(self, count: u64) -> Asked<'i> {
        let (maxlen, number) = (self.number, self.number.unwrap_or(0));
        let (buries, claims, creates) = (self.buries(), self.claims(), self.creates());
        let stream = self.stream.into();
        let (group, consumer) = (self.group.into(), self.consumer.into());
        let fields = vec![("f".into(), "v".into())];
        Asked::Operation(match self.kind {
            b'a' => Operation::Add {
                stream,
                fields,
                maxlen,
            },
            b'i' => Operation::IdempotentAdd {
                stream,
                fields,
                maxlen,
                producer: "p".into(),
                number: 1,
                after: 0,
                resent: false,
            },
            b'l' => Operation::ReadLatest { stream, count },
            b'r' => Operation::Read {
                stream,
                last_id: "0".into(),
                count,
                block_ms: Some(number),
            },
            b'g' => Operation::CreateGroup {
                stream,
                group,
                id: "0".into(),
            },
            b'w' => Operation::ReadGroup {
                stream,
                group,
                consumer,
                count,
                block_ms: None,
            },
            b'k' => Operation::Ack {
                stream,
                group,
                ids: vec!["0".into()],
            },
            b'p' => Operation::ReadPending {
                stream,
                group,
                consumer,
                after: "0".into(),
                count,
                except: Vec::new(),
            },
            b's' => Operation::PendingSummary { stream, group },
            b'q' => Operation::Pending {
                stream,
                group,
                start: "-".into(),
                end: "+".into(),
                count,
                consumer: Some(consumer),
                min_idle_ms: None,
            },
            b'c' => Operation::Claim {
                stream,
                group,
                consumer,
                min_idle_ms: 0,
                start: "0".into(),
                count,
            },
            b'd' => Operation::RemoveConsumer {
                stream,
                group,
                consumer,
                new_owner: self.second.into(),
            },
            b't' => {
                let from = TailStart::Now {};
                return Asked::Subscription(Subscription::Tail { stream, from });
            }
            b'x' => {
                return Asked::Subscription(Subscription::Consume {
                    stream,
                    group,
                    consumer,
                    batch: count,
                    claim_after_ms: claims.then_some(1),
                    max_deliveries: None,
                    dead_letter: buries.then(|| self.second.into()),
                    resumed: None,
                    create_from: creates.then(|| "0".into()),
                    position: None,
                });
            }
            _ => Operation::Consumers { stream, group },
        })
    }

    fn needs(&self) -> Vec<Need<'_>> {
        use Permission::{Add, Claim, Consume, Inspect, Manage, Read, Trim};
        let need = |permission, has_group: bool, consumers: &[&'i [u8]]| Need {
            permission,
            stream: &self.stream,
            group: has_group.then_some(self.group),
            consumers: consumers.to_vec(),
        };
        let one = [self.consumer];
        match self.kind {
            b'a' | b'i' => {
                let trim = self.number.map(|_| need(Trim, false, &[]));
                once(need(Add, false, &[])).chain(trim).collect()
            }
            b'l' | b'r' | b't' => vec![need(Read, false, &[])],
            b'g' => vec![need(Manage, true, &[])],
            b'w' | b'p' => vec![need(Consume, true, &one)],
            b'k' => vec![need(Consume, true, &[])],
            b'q' => vec![need(Inspect, true, &one)],
            b'c' => vec![need(Claim, true, &one)],
            b'd' => {
                let mut manage = need(Manage, true, &one);
                manage.consumers.push(&self.second);
                vec![manage]
            }
            b'x' => {
                let mut needs = vec![need(Consume, true, &one)];
                needs.extend(self.claims().then(|| need(Claim, true, &one)));
                needs.extend(self.creates().then(|| need(Manage, true, &[])));
                needs.extend(self.buries().then(|| Need {
                    stream: &self.second,
                    ..need(Add, false, &[])
                }));
                needs
            }
            _ => vec![need(Inspect, true, &[])],
        }
    }

    /// Returns what the rules make of it, by one rule of which prefix all needs are permitted.
    fn expected(&self, rules: &[RightRule], claims: &Claims<'_>) -> Option<Permitted<'i>> {
        let needs = self.needs();
        let mut prefixes: Vec<_> = rules
            .iter()
            .filter_map(|rule| prefix(rule, claims))
            .collect();
        prefixes.sort();
        let (prefix, [maxlen, max_count]) = prefixes.into_iter().find_map(|of| {
            let bounds = self.bounds(&needs, rules, &of, claims)?;
            Some((of.unwrap_or_default(), bounds))
        })?;
        let mut question = self.clone();
        question.stream.splice(..0, prefix.bytes());
        assert!(!question.stream.starts_with(RESERVED), "{question:?}");
        let cap = |count: u64| max_count.map_or(count, |max| count.min(max));
        let count = match (self.kind, self.count()) {
            (b'r' | b'w' | b'p', 0) => max_count.unwrap_or(0),
            (_, count) => cap(count),
        };
        let mut dead_maxlen = None;
        match self.kind {
            b'a' | b'i' => question.number = maxlen.or(self.number.map(|number| number.max(1))),
            b'x' if self.buries() => {
                question.second.splice(..0, prefix.bytes());
                dead_maxlen = maxlen;
            }
            _ => {}
        }
        Some(Permitted(question.with_count(count), dead_maxlen))
    }

    /// Returns the bounds of the rules with a prefix, if they permit all needs.
    fn bounds(
        &self,
        needs: &[Need<'_>],
        rules: &[RightRule],
        of: &Option<String>,
        claims: &Claims<'_>,
    ) -> Option<[Option<u64>; 2]> {
        let (mut maxlens, mut max_counts) = (Vec::new(), Vec::new());
        for need in needs {
            // A `maxlen` of the rules takes the place of the client's.
            if need.permission == Permission::Trim && !maxlens.is_empty() {
                continue;
            }
            let permits = |rule: &&RightRule| {
                prefix(rule, claims).as_ref() == Some(of) && permits(rule, need, claims)
            };
            let mut permitting = rules.iter().filter(permits).peekable();
            permitting.peek()?;
            for rule in permitting {
                match need.permission {
                    Permission::Add => maxlens.extend(rule.maxlen),
                    _ => max_counts.extend(rule.max_count),
                }
            }
        }
        Some([maxlens.into_iter().min(), max_counts.into_iter().min()])
    }
}

#[derive(Debug)]
struct Claims<'i>(Vec<(&'i str, &'i str)>);

impl<'i> Claims<'i> {
    fn value(&self, name: &str) -> Option<&'i str> {
        let (_, value) = self.0.iter().find(|(other, _)| *other == name)?;
        Some(value)
    }

    /// Returns a value that may stand in a name.
    fn safe_value(&self, name: &str) -> Option<&'i str> {
        let value = self.value(name)?;
        ((1..=128).contains(&value.len()) && value.chars().all(is_of_claim)).then_some(value)
    }
}

fn claims(line: &[u8]) -> Option<Claims<'_>> {
    let claims = std::str::from_utf8(line).ok()?.split('|');
    Some(Claims(
        claims.filter_map(|claim| claim.split_once('=')).collect(),
    ))
}

fn rule(line: &[u8]) -> Option<RightRule> {
    let mut fields = std::str::from_utf8(line).ok()?.split('|');
    let mut next = || fields.next().unwrap_or_default();
    let allow = next().chars().filter_map(|letter| {
        Some(match letter {
            'r' => Permission::Read,
            'a' => Permission::Add,
            'c' => Permission::Consume,
            'l' => Permission::Claim,
            'i' => Permission::Inspect,
            'm' => Permission::Manage,
            't' => Permission::Trim,
            _ => return None,
        })
    });
    let list = |field: &str| -> Vec<String> {
        let patterns = field.split(',').filter(|_| !field.is_empty());
        patterns.map(str::to_owned).collect()
    };
    let mut rule = RightRule::new(allow, list(next()));
    for patterns in [&mut rule.groups, &mut rule.consumers] {
        let given = list(next());
        if !given.is_empty() {
            *patterns = given;
        }
    }
    rule.prefix = Some(next())
        .filter(|prefix| !prefix.is_empty())
        .map(str::to_owned);
    rule.maxlen = next().parse().ok();
    rule.max_count = next().parse().ok();
    Some(rule)
}

fn is_valid(rule: &RightRule) -> bool {
    let patterns = rule
        .streams
        .iter()
        .chain(&rule.groups)
        .chain(&rule.consumers);
    !rule.allow.is_empty()
        && !rule.streams.is_empty()
        && rule.maxlen != Some(0)
        && rule.max_count != Some(0)
        && patterns
            .into_iter()
            .all(|pattern| match pattern.strip_suffix('*') {
                Some(start) => !start.contains('*') && is_template(start, true),
                None => !pattern.contains('*') && is_template(pattern, false),
            })
        && rule.prefix.as_ref().is_none_or(|prefix| {
            !prefix.as_bytes().starts_with(RESERVED) && is_template(prefix, true)
        })
}

/// Returns whether each claim has a name, and ends where no claim could go on.
fn is_template(text: &str, goes_on: bool) -> bool {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '}' => return false,
            '{' => {
                let Some((name, after)) = rest.split_once('}') else {
                    return false;
                };
                let ends = match after.chars().next() {
                    Some(next) => next != '{' && !is_of_claim(next),
                    None => !goes_on,
                };
                if name.is_empty() || name.contains('{') || !ends {
                    return false;
                }
                rest = after;
            }
            _ => {}
        }
    }
    true
}

fn is_of_claim(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '@' | '-')
}

/// Returns the claims in a text.
fn claims_in(text: &str) -> impl Iterator<Item = &str> {
    let claims = text.split('{').skip(1);
    claims.filter_map(|claim| Some(claim.split_once('}')?.0))
}

/// Puts the values of claims into a text. Returns `None` if one is missing.
fn filled(text: &str, claims: &Claims<'_>) -> Option<String> {
    let mut filled = text.to_owned();
    for name in claims_in(text) {
        filled = filled.replace(&format!("{{{name}}}"), claims.safe_value(name)?);
    }
    Some(filled)
}

/// Returns the prefix of a rule with these claims; `None` if one is missing.
fn prefix(rule: &RightRule, claims: &Claims<'_>) -> Option<Option<String>> {
    match &rule.prefix {
        None => Some(None),
        Some(prefix) => filled(prefix, claims).map(Some),
    }
}

/// Returns whether a pattern has all its claims.
fn is_there(pattern: &str, claims: &Claims<'_>) -> bool {
    claims_in(pattern).all(|name| claims.safe_value(name).is_some())
}

/// Returns whether a name is one of a pattern, character by character.
fn matches(pattern: &str, claims: &Claims<'_>, name: &[u8]) -> bool {
    if !is_there(pattern, claims) {
        return false;
    }
    let (mut pattern, mut name) = (pattern, name);
    loop {
        let Some(first) = pattern.chars().next() else {
            return name.is_empty();
        };
        let mut bytes = [0; 4];
        let (expected, after) = match pattern.strip_prefix('{').and_then(|p| p.split_once('}')) {
            _ if pattern == "*" => return true,
            Some((claim, after)) => (claims.safe_value(claim).unwrap_or_default(), after),
            None => (
                &*first.encode_utf8(&mut bytes),
                &pattern[first.len_utf8()..],
            ),
        };
        let Some(rest) = name.strip_prefix(expected.as_bytes()) else {
            return false;
        };
        (pattern, name) = (after, rest);
    }
}

/// Returns whether a rule permits one need. One of whose lists no pattern has its claims permits
/// nothing.
fn permits(rule: &RightRule, need: &Need<'_>, claims: &Claims<'_>) -> bool {
    let Some(prefix) = prefix(rule, claims) else {
        return false;
    };
    let key = [prefix.unwrap_or_default().as_bytes(), need.stream].concat();
    let lists = [&rule.streams, &rule.groups, &rule.consumers];
    let one = |patterns: &[String], name: &[u8]| {
        patterns
            .iter()
            .any(|pattern| matches(pattern, claims, name))
    };
    rule.allow.contains(&need.permission)
        && lists
            .into_iter()
            .all(|list| list.iter().any(|p| is_there(p, claims)))
        && !key.starts_with(RESERVED)
        && !need.stream.starts_with(RESERVED)
        && one(&rule.streams, need.stream)
        && need.group.is_none_or(|group| one(&rule.groups, group))
        && need
            .consumers
            .iter()
            .all(|consumer| one(&rule.consumers, consumer))
}

/// Checks that the names of one subject are not those of another, whose claims differ.
fn check_that_subjects_are_apart(text: &str, goes_on: bool, own: &Claims<'_>, others: &Claims<'_>) {
    let (Some(ours), Some(theirs)) = (filled(text, own), filled(text, others)) else {
        return;
    };
    if claims_in(text).any(|name| own.value(name) != others.value(name)) {
        assert_ne!(ours, theirs, "{text}");
        assert!(!goes_on || !ours.starts_with(&theirs), "{text}");
    }
}
