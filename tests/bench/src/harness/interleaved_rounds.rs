//! Rounds, in which all compared systems take turns.

use std::time::{Duration, Instant};

use super::{Generator, proc_stats};
use crate::arguments::Arguments;
use crate::generator::{Command, Outcome};

/// If other processes use more cores than this during a sample, its round is repeated: its figures
/// would be of them.
const MAX_OTHER_CORES: f64 = 0.3;

/// The time over which the load of other processes is measured: twenty times the resolution of
/// `/proc`.
const LOAD_SAMPLE: Duration = Duration::from_millis(200);

/// Samples before a round begins anyway: a compiler's bursts pass, but a machine may never be idle.
const MAX_LOAD_SAMPLES: usize = 50;

/// One system in one round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) outcome: Outcome,
    /// Processor time of each measured server in seconds.
    pub(crate) cpu: Vec<f64>,
    /// Processor time of the generator in seconds.
    pub(crate) generator_cpu: f64,
    /// Further figures, which the workload defines.
    pub(crate) extra: Vec<f64>,
    /// Cores that processes other than this one and its children used.
    other_cores: f64,
}

impl Sample {
    /// Returns the share of the commanded rate that was reached.
    pub(crate) fn rate_reached(&self) -> f64 {
        self.outcome.rate_reached
    }

    /// Returns operations per second.
    pub(crate) fn rate(&self) -> f64 {
        self.outcome.operations / self.outcome.seconds
    }

    /// Returns a server's processor time per operation in µs.
    pub(crate) fn cpu_us(&self, server: usize) -> f64 {
        self.cpu.get(server).copied().unwrap_or(f64::NAN) / self.outcome.operations * 1e6
    }

    /// Returns the generator's processor time per operation in µs.
    pub(crate) fn generator_us(&self) -> f64 {
        self.generator_cpu / self.outcome.operations * 1e6
    }
}

/// Runs a command, and measures the processor time of the servers with these process ids meanwhile.
pub(crate) fn measure(
    generator: &mut Generator,
    command: &Command,
    servers: &[u32],
) -> anyhow::Result<Sample> {
    let pid = generator.pid();
    let cpu_times = || -> anyhow::Result<Vec<f64>> {
        let pids = servers.iter().copied().chain([pid]);
        pids.map(proc_stats::cpu).collect()
    };
    let (start, before) = (Instant::now(), cpu_times()?);
    let (busy, own) = (proc_stats::busy()?, proc_stats::own_cpu()?);
    let outcome = generator.perform(command)?;
    let others = (proc_stats::busy()? - busy) - (proc_stats::own_cpu()? - own);
    let seconds = start.elapsed().as_secs_f64();
    let mut cpu: Vec<_> = cpu_times()?
        .iter()
        .zip(before)
        .map(|(a, b)| a - b)
        .collect();
    Ok(Sample {
        outcome,
        generator_cpu: cpu.pop().unwrap_or_default(),
        cpu,
        extra: Vec::new(),
        other_cores: others / seconds,
    })
}

/// The samples of N systems, round by round.
#[derive(Debug)]
pub(crate) struct Rounds<const N: usize>(Vec<[Sample; N]>);

/// Measures N systems in turns, with each round beginning with another one, once no other process
/// uses the machine. Repeats rounds that other processes disturbed, but at most as many as there
/// are rounds.
pub(crate) fn rounds<const N: usize>(
    arguments: &Arguments,
    mut measure: impl FnMut(usize) -> anyhow::Result<Sample>,
) -> anyhow::Result<Rounds<N>> {
    let mut rounds = Vec::new();
    let mut spare = arguments.rounds;
    let mut disturbed_rounds = 0;
    while rounds.len() < arguments.rounds {
        let mut samples: [Sample; N] = std::array::from_fn(|_| Sample::default());
        wait_until_idle()?;
        for turn in 0..N {
            let which = (rounds.len() + turn) % N;
            samples[which] = measure(which)?;
        }
        let disturbed = samples.iter().any(|s| s.other_cores > MAX_OTHER_CORES);
        if disturbed && spare > 0 {
            spare -= 1;
        } else {
            disturbed_rounds += usize::from(disturbed);
            rounds.push(samples);
        }
    }
    if disturbed_rounds > 0 {
        let all = rounds.len();
        eprintln!(
            "warning: other processes used the machine in {disturbed_rounds} of {all} rounds"
        );
    }
    Ok(Rounds(rounds))
}

fn wait_until_idle() -> anyhow::Result<()> {
    for _ in 0..MAX_LOAD_SAMPLES {
        let (busy, own) = (proc_stats::busy()?, proc_stats::own_cpu()?);
        std::thread::sleep(LOAD_SAMPLE);
        let others = (proc_stats::busy()? - busy) - (proc_stats::own_cpu()? - own);
        if others / LOAD_SAMPLE.as_secs_f64() <= MAX_OTHER_CORES {
            break;
        }
    }
    Ok(())
}

impl<const N: usize> Rounds<N> {
    /// Returns one figure of one system, for each round.
    pub(crate) fn of(&self, which: usize, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.0.iter().map(|round| figure(&round[which])).collect()
    }
}
