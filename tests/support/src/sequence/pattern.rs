//! Variables of a transcript, and messages that are compared with a pattern.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde_json::{Map, Value};

/// Matches anything, and binds nothing.
const ANY: &str = "$_";

/// Generates text: `{"$repeat": ["x", 100]}`.
const REPEAT: &str = "$repeat";

/// Joins texts and numbers: `{"$concat": ["$n", "-0"]}`.
const CONCAT: &str = "$concat";

/// Matches a number from one to another: `{"$between": [1, 5]}`.
const BETWEEN: &str = "$between";

/// Matches one of several values: `{"$any_of": [null, false]}`.
const ANY_OF: &str = "$any_of";

/// Matches a list with these items in any order: `{"$any_order": ["a", "b"]}`.
const ANY_ORDER: &str = "$any_order";

/// The variables of one transcript.
#[derive(Debug, Clone, Default)]
pub struct Variables(HashMap<String, Value>);

impl Variables {
    /// Gives a variable a value, in the place of the one that it had.
    pub fn set(&mut self, variable: &str, value: impl Into<Value>) {
        self.0.insert(variable.to_owned(), value.into());
    }

    /// Returns what is sent for a template: each variable is replaced by its value, and one
    /// without a value is bound to a text that no other run uses.
    ///
    /// # Errors
    ///
    /// A repetition is malformed.
    pub fn fill(&mut self, template: &Value) -> anyhow::Result<Value> {
        match template {
            Value::String(text) if is_variable(text) => {
                let fresh = || Value::String(fresh(&text[1..]));
                Ok(self.0.entry(text.clone()).or_insert_with(fresh).clone())
            }
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(object) => {
                if let Some(repeat) = object.get(REPEAT) {
                    return self.repeat(repeat);
                }
                if let Some(parts) = object.get(CONCAT) {
                    return self.concat(parts);
                }
                let fill = |(key, value): (&String, _)| Ok((key.clone(), self.fill(value)?));
                let filled: anyhow::Result<Map<_, _>> = object.iter().map(fill).collect();
                filled.map(Value::Object)
            }
            other => Ok(other.clone()),
        }
    }

    fn repeat(&mut self, repeat: &Value) -> anyhow::Result<Value> {
        let text = repeat[0].as_str().context("repeats a text")?;
        let times = self.fill(&repeat[1])?;
        let times = times.as_u64().context("repeats a number of times")?;
        Ok(Value::String(text.repeat(usize::try_from(times)?)))
    }

    fn concat(&mut self, parts: &Value) -> anyhow::Result<Value> {
        let parts = self.fill(parts)?;
        let parts = parts.as_array().context("joins a list")?;
        let text = |part: &Value| match part {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Ok(Value::String(parts.iter().map(text).collect()))
    }

    /// Returns whether all messages match the patterns, each pattern one message, and binds the
    /// variables if so.
    pub fn match_all(&mut self, patterns: &[Value], messages: &[Value], any_order: bool) -> bool {
        let Some((pattern, patterns)) = patterns.split_first() else {
            return messages.is_empty();
        };
        let candidates = if any_order { messages.len() } else { 1 };
        for place in 0..candidates.min(messages.len()) {
            let mut bound = self.clone();
            let mut others = messages.to_vec();
            if bound.matches(pattern, &others.remove(place))
                && bound.match_all(patterns, &others, any_order)
            {
                *self = bound;
                return true;
            }
        }
        false
    }

    /// Returns whether a message matches a pattern; may bind variables even if it does not.
    fn matches(&mut self, pattern: &Value, message: &Value) -> bool {
        match (pattern, message) {
            (Value::String(text), _) if text == ANY => true,
            (Value::String(text), _) if is_variable(text) => {
                let value = self.0.entry(text.clone());
                *value.or_insert_with(|| message.clone()) == *message
            }
            (Value::Object(object), _) if object.contains_key(REPEAT) => self
                .repeat(&object[REPEAT])
                .is_ok_and(|text| text == *message),
            (Value::Array(patterns), Value::Array(items)) => {
                let mut pairs = patterns.iter().zip(items);
                patterns.len() == items.len() && pairs.all(|(p, item)| self.matches(p, item))
            }
            (Value::Object(patterns), _) if patterns.contains_key(CONCAT) => {
                self.fill(pattern).is_ok_and(|text| text == *message)
            }
            (Value::Object(patterns), _) if patterns.contains_key(BETWEEN) => {
                let bounds = &patterns[BETWEEN];
                let number = message.as_u64();
                number.is_some() && bounds[0].as_u64() <= number && number <= bounds[1].as_u64()
            }
            (Value::Object(patterns), _) if patterns.contains_key(ANY_OF) => {
                let values = patterns[ANY_OF].as_array();
                values.is_some_and(|values| values.iter().any(|value| self.matches(value, message)))
            }
            (Value::Object(patterns), Value::Array(items)) if patterns.contains_key(ANY_ORDER) => {
                let patterns = patterns[ANY_ORDER].as_array();
                patterns.is_some_and(|patterns| self.match_all(patterns, items, true))
            }
            (Value::Object(patterns), Value::Object(object)) => {
                let expected = |key: &String| patterns.contains_key(key);
                object
                    .iter()
                    .all(|(key, value)| expected(key) || value.is_null())
                    && patterns
                        .iter()
                        .all(|(key, p)| self.matches(p, object.get(key).unwrap_or(&Value::Null)))
            }
            _ => pattern == message,
        }
    }
}

/// Returns whether a text names a variable: `$` and at least one character.
fn is_variable(text: &str) -> bool {
    text.len() > 1 && text.starts_with('$')
}

/// Returns a text that begins with a name and that no other run uses.
fn fresh(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |time| time.as_micros());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{now}-{}-{count}", std::process::id())
}
