//! Forwarding the bytes of one direction of a connection.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::flow::{Cut, Flow};

/// Most bytes that are held in one direction; then no more are read. Enough that a sender does not
/// notice a stall at once.
pub(super) const MAX_HELD_BYTES: usize = 256 * 1024;

/// Most bytes that are read at once. [`Flow::CutHalfway`] halves one such piece.
const READ_BYTES: usize = 16 * 1024;

/// How often per second a slow connection forwards something.
const SLOW_TURNS: u32 = 20;

/// Why forwarding ends the whole connection.
pub(super) enum ForwardEnd {
    /// One of the two sides is broken.
    Broken,
    /// The flow cuts it.
    Cut(Cut),
}

/// Bytes that were read and not forwarded yet.
#[derive(Default)]
struct HeldBytes {
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// Whether the reading side has ended.
    is_last: bool,
}

struct Piece {
    arrived: Instant,
    bytes: Vec<u8>,
    /// Bytes that were forwarded.
    forwarded: usize,
}

/// A flow, and its state.
struct FlowRule {
    flow: Flow,
    /// Bytes that may still pass before the cut.
    budget: Option<(u64, Cut)>,
    /// When a slow flow forwards more.
    next_turn: Option<Instant>,
}

/// What to do with held bytes.
enum Step {
    /// Nothing, until more bytes or another flow arrive.
    Wait,
    WaitUntil(Instant),
    /// Forward at most this many bytes.
    Pass(usize),
    /// All bytes were forwarded, and the reading side has ended.
    Finish,
    Cut(Cut),
}

/// Forwards bytes as the flow says, until the reading side has ended.
pub(super) async fn forward(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut flow: watch::Receiver<Flow>,
) -> Result<(), ForwardEnd> {
    let mut held = HeldBytes::default();
    let mut rule = FlowRule::new(*flow.borrow_and_update());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let step = rule.step(&held);
        let (wake, most) = match step {
            Step::Wait => (None, 0),
            Step::WaitUntil(wake) => (Some(wake), 0),
            Step::Pass(most) => (None, most),
            Step::Finish => {
                // Fails only if the writing side is gone already.
                let _ = to.shutdown().await;
                return Ok(());
            }
            Step::Cut(cut) => return Err(ForwardEnd::Cut(cut)),
        };
        tokio::select! {
            // A new flow first, so that nothing is forwarded by the old one after it.
            biased;
            changed = flow.changed() => match changed {
                Ok(()) => rule = FlowRule::new(*flow.borrow_and_update()),
                // The relay is gone, and aborts this task.
                Err(_) => return Err(ForwardEnd::Broken),
            },
            written = to.write(held.first(most)), if most > 0 => {
                let written = written.map_err(|_| ForwardEnd::Broken)?;
                held.passed(written);
                rule.passed(written);
            }
            () = sleep_until(wake), if wake.is_some() => {}
            read = from.read(&mut buffer), if held.takes_more() => {
                let read = read.map_err(|_| ForwardEnd::Broken)?;
                held.push(&buffer[..read]);
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

impl FlowRule {
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

    fn step(&mut self, held: &HeldBytes) -> Step {
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
        let left = piece.bytes.len() - piece.forwarded;
        if let (Flow::CutHalfway(cut), None) = (self.flow, self.budget) {
            self.budget = Some((left as u64 / 2, cut));
        }
        let due = match (self.flow, self.next_turn) {
            (Flow::Delay(delay), _) => Some(piece.arrived + delay),
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

impl HeldBytes {
    fn takes_more(&self) -> bool {
        !self.is_last && self.bytes < MAX_HELD_BYTES
    }

    /// Stores what was read; nothing is the end.
    fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.is_last = true;
            return;
        }
        self.bytes += bytes.len();
        self.pieces.push_back(Piece {
            arrived: Instant::now(),
            bytes: bytes.to_vec(),
            forwarded: 0,
        });
    }

    /// Returns the oldest bytes, at most `most`.
    fn first(&self, most: usize) -> &[u8] {
        let Some(piece) = self.pieces.front() else {
            return &[];
        };
        let rest = &piece.bytes[piece.forwarded..];
        &rest[..most.min(rest.len())]
    }

    fn passed(&mut self, bytes: usize) {
        self.bytes -= bytes;
        if let Some(piece) = self.pieces.front_mut() {
            piece.forwarded += bytes;
            if piece.forwarded == piece.bytes.len() {
                self.pieces.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_bytes_are_bounded() {
        let mut held = HeldBytes::default();
        let mut pieces = 0;
        while held.takes_more() {
            held.push(&[7; READ_BYTES]);
            pieces += 1;
        }
        assert_eq!(pieces, MAX_HELD_BYTES / READ_BYTES);
        let first = held.first(100).len();
        held.passed(first);
        assert!(held.takes_more());
        held.push(&[]);
        assert!(!held.takes_more(), "nothing is read after the end");
    }

    #[test]
    fn a_slow_flow_forwards_its_share_of_a_second() {
        let flow = Flow::Slow(1000.try_into().unwrap());
        let mut rule = FlowRule::new(flow);
        let mut held = HeldBytes::default();
        held.push(&[7; 500]);
        let Step::Pass(bytes) = rule.step(&held) else {
            panic!("nothing passes")
        };
        assert_eq!(bytes, 50);
        held.passed(bytes);
        rule.passed(bytes);
        let Step::WaitUntil(wake) = rule.step(&held) else {
            panic!("it does not pause")
        };
        assert!(wake <= Instant::now() + Duration::from_millis(50));
    }
}
