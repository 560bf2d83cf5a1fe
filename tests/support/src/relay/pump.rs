//! One direction of a connection.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::flow::{Cut, Flow};

/// Bytes that are held in one direction because they may not go yet; then no more are accepted.
/// Enough that a sender does not notice a stall at once, and little beside a test's own memory.
pub(super) const MAX_HELD_BYTES: usize = 256 * 1024;

/// Bytes that are read at once. What is halved is one such piece.
const READ_BYTES: usize = 16 * 1024;

/// How often a second a slow connection passes something on.
const SLOW_TURNS: u32 = 20;

/// Why a direction ends the whole connection.
pub(super) enum Ended {
    /// One of the two sides is gone.
    Broken,
    /// The rule says so.
    Cut(Cut),
}

/// What was read and not passed on yet.
#[derive(Default)]
struct Held {
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// The reading side has ended.
    is_last: bool,
}

struct Piece {
    came: Instant,
    bytes: Vec<u8>,
    /// How many of the bytes are gone.
    gone: usize,
}

/// The rule, and what is left of it.
struct Rule {
    flow: Flow,
    /// Bytes that may still pass before the cut.
    budget: Option<(u64, Cut)>,
    /// When a slow one passes on more.
    next_turn: Option<Instant>,
}

/// What to do with what is held.
enum Step {
    /// Nothing, until there is more or another rule.
    Wait,
    WaitUntil(Instant),
    /// Pass on at most so many bytes.
    Pass(usize),
    /// All has gone, and the reading side has ended.
    Finish,
    Cut(Cut),
}

/// Passes bytes on, by the rule that holds, until both sides are done.
pub(super) async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut flow: watch::Receiver<Flow>,
) -> Result<(), Ended> {
    let mut held = Held::default();
    let mut rule = Rule::new(*flow.borrow_and_update());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let step = rule.step(&held);
        let (wake, most) = match step {
            Step::Wait => (None, 0),
            Step::WaitUntil(wake) => (Some(wake), 0),
            Step::Pass(most) => (None, most),
            Step::Finish => {
                // It may be gone: there is nothing more to tell it.
                let _ = to.shutdown().await;
                return Ok(());
            }
            Step::Cut(cut) => return Err(Ended::Cut(cut)),
        };
        tokio::select! {
            // A new rule first, so that nothing goes by the old one behind it.
            biased;
            changed = flow.changed() => match changed {
                Ok(()) => rule = Rule::new(*flow.borrow_and_update()),
                // Whoever sets rules is gone, and aborts this task.
                Err(_) => return Err(Ended::Broken),
            },
            written = to.write(held.first(most)), if most > 0 => {
                let written = written.map_err(|_| Ended::Broken)?;
                held.passed(written);
                rule.passed(written);
            }
            () = sleep_until(wake), if wake.is_some() => {}
            read = from.read(&mut buffer), if held.takes_more() => {
                let read = read.map_err(|_| Ended::Broken)?;
                held.came(&buffer[..read]);
            }
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

impl Rule {
    fn new(flow: Flow) -> Self {
        let budget = match flow {
            Flow::CutAfter(bytes, cut) => Some((bytes, cut)),
            _ => None,
        };
        Self {
            flow,
            budget,
            next_turn: None,
        }
    }

    fn step(&mut self, held: &Held) -> Step {
        if self.flow == Flow::Stall {
            return Step::Wait;
        }
        let Some(piece) = held.pieces.front() else {
            return if held.is_last {
                Step::Finish
            } else {
                Step::Wait
            };
        };
        let left = piece.bytes.len() - piece.gone;
        if let (Flow::Halve(cut), None) = (self.flow, self.budget) {
            self.budget = Some((left as u64 / 2, cut));
        }
        let due = match (self.flow, self.next_turn) {
            (Flow::Delay(delay), _) => Some(piece.came + delay),
            (_, next_turn) => next_turn,
        };
        if let Some(due) = due.filter(|due| *due > Instant::now()) {
            return Step::WaitUntil(due);
        }
        match (self.budget, self.flow) {
            (Some((0, cut)), _) => Step::Cut(cut),
            (Some((budget, _)), _) => {
                Step::Pass(usize::try_from(budget).map_or(left, |budget| budget.min(left)))
            }
            (None, Flow::Slow(rate)) => {
                let turn = (rate.get() / SLOW_TURNS).max(1);
                Step::Pass(left.min(turn as usize))
            }
            (None, _) => Step::Pass(left),
        }
    }

    fn passed(&mut self, bytes: usize) {
        if let Some((budget, _)) = &mut self.budget {
            *budget -= bytes as u64;
        }
        if let Flow::Slow(rate) = self.flow {
            let takes = Duration::from_secs(1).mul_f64(bytes as f64 / f64::from(rate.get()));
            self.next_turn = Some(Instant::now() + takes);
        }
    }
}

impl Held {
    fn takes_more(&self) -> bool {
        !self.is_last && self.bytes < MAX_HELD_BYTES
    }

    /// Notes what was read; nothing is the end.
    fn came(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.is_last = true;
            return;
        }
        self.bytes += bytes.len();
        self.pieces.push_back(Piece {
            came: Instant::now(),
            bytes: bytes.to_vec(),
            gone: 0,
        });
    }

    /// The oldest bytes, at most so many.
    fn first(&self, most: usize) -> &[u8] {
        let Some(piece) = self.pieces.front() else {
            return &[];
        };
        let rest = &piece.bytes[piece.gone..];
        &rest[..most.min(rest.len())]
    }

    fn passed(&mut self, bytes: usize) {
        self.bytes -= bytes;
        if let Some(piece) = self.pieces.front_mut() {
            piece.gone += bytes;
            if piece.gone == piece.bytes.len() {
                self.pieces.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded() {
        let mut held = Held::default();
        let mut pieces = 0;
        while held.takes_more() {
            held.came(&[7; READ_BYTES]);
            pieces += 1;
        }
        assert_eq!(pieces, MAX_HELD_BYTES / READ_BYTES);
        let first = held.first(100).len();
        held.passed(first);
        assert!(held.takes_more());
        held.came(&[]);
        assert!(!held.takes_more(), "nothing comes behind the end");
    }

    #[test]
    fn a_slow_one_passes_its_share_of_a_second() {
        let flow = Flow::Slow(1000.try_into().unwrap());
        let mut rule = Rule::new(flow);
        let mut held = Held::default();
        held.came(&[7; 500]);
        let Step::Pass(bytes) = rule.step(&held) else {
            panic!("nothing passes")
        };
        assert_eq!(bytes, 50);
        held.passed(bytes);
        rule.passed(bytes);
        let Step::WaitUntil(wake) = rule.step(&held) else {
            panic!("it does not rest")
        };
        assert!(wake <= Instant::now() + Duration::from_millis(50));
    }
}
