//! Rounds, in which all rivals take turns.

use std::time::{Duration, Instant};

use super::{Generator, process};
use crate::arguments::Arguments;
use crate::generator::{Order, Outcome};

/// Cores' worth of work of others in a sample beyond which its round is done again: then figures
/// are of them rather than of what is measured.
const MAX_FOREIGN: f64 = 0.3;

/// How long a look at whether others use the machine takes: twenty times what `/proc` counts in.
const LOOK: Duration = Duration::from_millis(200);

/// Looks before a round begins anyway: a compiler's bursts pass, but a machine may never be quiet.
const MAX_LOOKS: usize = 50;

/// What one rival did in one round, and what it took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) outcome: Outcome,
    /// Seconds of processor time of each server that was watched.
    pub(crate) cpu: Vec<f64>,
    /// Seconds of processor time of the generator.
    pub(crate) generator_cpu: f64,
    /// Figures of the workload's own.
    pub(crate) noted: Vec<f64>,
    /// Cores' worth of work that was neither this program's nor its children's.
    foreign: f64,
}

impl Sample {
    /// The part that was reached of the rate that was asked for.
    pub(crate) fn pace(&self) -> f64 {
        self.outcome.pace
    }

    pub(crate) fn rate(&self) -> f64 {
        self.outcome.operations / self.outcome.seconds
    }

    /// Microseconds of one server's time for each operation.
    pub(crate) fn cpu_us(&self, server: usize) -> f64 {
        self.cpu.get(server).copied().unwrap_or(f64::NAN) / self.outcome.operations * 1e6
    }

    /// Microseconds of the generator's time for each operation.
    pub(crate) fn generator_us(&self) -> f64 {
        self.generator_cpu / self.outcome.operations * 1e6
    }
}

/// Lets a generator work, and counts what the servers with these process ids use meanwhile.
pub(crate) fn measure(
    generator: &mut Generator,
    order: &Order,
    servers: &[u32],
) -> anyhow::Result<Sample> {
    let pid = generator.pid();
    let used = || -> anyhow::Result<Vec<f64>> {
        let pids = servers.iter().copied().chain([pid]);
        pids.map(process::cpu).collect()
    };
    let (start, before) = (Instant::now(), used()?);
    let (busy, own) = (process::busy()?, process::own_cpu()?);
    let outcome = generator.perform(order)?;
    let others = (process::busy()? - busy) - (process::own_cpu()? - own);
    let seconds = start.elapsed().as_secs_f64();
    let mut cpu: Vec<_> = used()?.iter().zip(before).map(|(a, b)| a - b).collect();
    Ok(Sample {
        outcome,
        generator_cpu: cpu.pop().unwrap_or_default(),
        cpu,
        noted: Vec::new(),
        foreign: others / seconds,
    })
}

/// The samples of N rivals, round by round.
#[derive(Debug)]
pub(crate) struct Rounds<const N: usize>(Vec<[Sample; N]>);

/// Measures N rivals in turns, each round beginning with another one, when nobody else uses the
/// machine. A round in which others
/// used the machine is done again, but not forever: at most as often as there are rounds.
pub(crate) fn rounds<const N: usize>(
    arguments: &Arguments,
    mut measure: impl FnMut(usize) -> anyhow::Result<Sample>,
) -> anyhow::Result<Rounds<N>> {
    let mut rounds = Vec::new();
    let mut spare = arguments.rounds;
    let mut disturbed_rounds = 0;
    while rounds.len() < arguments.rounds {
        let mut samples: [Sample; N] = std::array::from_fn(|_| Sample::default());
        await_quiet()?;
        for turn in 0..N {
            let which = (rounds.len() + turn) % N;
            samples[which] = measure(which)?;
        }
        let disturbed = samples.iter().any(|s| s.foreign > MAX_FOREIGN);
        if disturbed && spare > 0 {
            spare -= 1;
        } else {
            disturbed_rounds += usize::from(disturbed);
            rounds.push(samples);
        }
    }
    if disturbed_rounds > 0 {
        let all = rounds.len();
        eprintln!("others used the machine in {disturbed_rounds} of {all} rounds");
    }
    Ok(Rounds(rounds))
}

fn await_quiet() -> anyhow::Result<()> {
    for _ in 0..MAX_LOOKS {
        let (busy, own) = (process::busy()?, process::own_cpu()?);
        std::thread::sleep(LOOK);
        let others = (process::busy()? - busy) - (process::own_cpu()? - own);
        if others / LOOK.as_secs_f64() <= MAX_FOREIGN {
            break;
        }
    }
    Ok(())
}

impl<const N: usize> Rounds<N> {
    /// One figure of one rival, of each round.
    pub(crate) fn of(&self, which: usize, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.0.iter().map(|round| figure(&round[which])).collect()
    }
}
