//! Which processor cores the server, Redis, the bystander and the attackers use.

use std::fmt;
use std::thread;

use anyhow::anyhow;
use rustix::process::{Resource, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::scene::Form;

/// Priority of the attackers' threads, so that on few cores the bystander measures the server and
/// not the attackers.
const ATTACKER_NICENESS: i32 = 19;

/// The cores of each part.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    server: Vec<usize>,
    redis: Vec<usize>,
    bystander: Vec<usize>,
    attackers: Vec<usize>,
    measures_latencies: bool,
}

impl Cores {
    /// Divides the cores that this process may use.
    pub(crate) fn find(form: Form) -> anyhow::Result<Self> {
        let set = sched_getaffinity(None)?;
        let all: Vec<_> = (0..CpuSet::MAX_CPU)
            .filter(|&core| set.is_set(core))
            .collect();
        Ok(Self {
            measures_latencies: form == Form::Long,
            ..Self::divide(&all)
        })
    }

    /// Half of the cores are the server's, as its default number of threads is. Redis and the
    /// bystander have a core each, if there are four or more.
    fn divide(all: &[usize]) -> Self {
        let (server, rest) = all.split_at((all.len() / 2).max(1));
        let rest = if rest.is_empty() { server } else { rest };
        let (redis, bystander, attackers) = match rest {
            [redis, bystander, attackers @ ..] if !attackers.is_empty() => (
                std::slice::from_ref(redis),
                std::slice::from_ref(bystander),
                attackers,
            ),
            [redis, others] => {
                let others = std::slice::from_ref(others);
                (std::slice::from_ref(redis), others, others)
            }
            _ => (rest, rest, rest),
        };
        Self {
            server: server.into(),
            redis: redis.into(),
            bystander: bystander.into(),
            attackers: attackers.into(),
            measures_latencies: true,
        }
    }

    /// Runs something on the server's cores: child processes stay there.
    pub(crate) fn on_server<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        run_on(|| pin(&self.server), work)
    }

    /// Runs something on the cores of Redis: child processes stay there.
    pub(crate) fn on_redis<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        run_on(|| pin(&self.redis), work)
    }

    /// Runs something on the attackers' cores with a low priority.
    pub(crate) fn on_attackers<T: Send>(
        &self,
        work: impl FnOnce() -> T + Send,
    ) -> anyhow::Result<T> {
        run_on(|| self.become_attacker(), work)
    }

    /// Moves this thread to the bystander's cores.
    pub(crate) fn become_bystander(&self) {
        pin(&self.bystander);
    }

    /// Moves this thread to the attackers' cores, and lowers its priority if latencies are measured.
    pub(crate) fn become_attacker(&self) {
        pin(&self.attackers);
        if self.measures_latencies {
            // A measurement beside other work is still one: a core or a priority that is refused
            // is no reason to end.
            let _ = setpriority_process(None, ATTACKER_NICENESS);
        }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cores: server {:?}, Redis {:?}, bystander {:?}, attackers {:?}",
            self.server, self.redis, self.bystander, self.attackers
        )?;
        let shared = if self.attackers == self.server {
            "the server"
        } else if self.attackers == self.redis {
            "Redis and the bystander"
        } else {
            return Ok(());
        };
        write!(f, "; the attackers share a core with {shared}")?;
        if self.measures_latencies {
            write!(f, ", at a lower priority")?;
        }
        Ok(())
    }
}

/// Raises the soft limit of open files to the hard one: thousands of connections are this
/// process's too.
pub(crate) fn raise_file_limit() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

fn run_on<T: Send>(
    move_thread: impl FnOnce() + Send,
    work: impl FnOnce() -> T + Send,
) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_thread();
            work()
        });
        thread.join().map_err(|_| anyhow!("the thread panicked"))
    })
}

fn pin(cores: &[usize]) {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    // As above: a refusal costs precision and nothing else.
    let _ = sched_setaffinity(None, &set);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_shares_no_core_if_there_are_two() {
        for count in 2..20 {
            let all: Vec<_> = (0..count).collect();
            let cores = Cores::divide(&all);
            for other in [&cores.redis, &cores.bystander, &cores.attackers] {
                assert!(!other.is_empty());
                assert!(
                    other.iter().all(|core| !cores.server.contains(core)),
                    "{count}"
                );
            }
        }
        assert_eq!(Cores::divide(&[3]).attackers, [3]);
    }
}
