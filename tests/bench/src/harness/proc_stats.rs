//! Processor time and memory of processes, as Linux counts them (proc(5)).

use std::fs;

use anyhow::Context;

/// Clock ticks a second in `/proc`: 100 on every Linux that Rust runs on (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns the process's user and system time in seconds.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} has ended"))?;
    Ok(Stat::parse(&stat)?.cpu)
}

/// Returns the process's resident memory in KiB.
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no VmRSS in /proc/PID/status")?.parse()?)
}

/// Returns the processor time in seconds of this process and its living children.
pub(crate) fn own_cpu() -> anyhow::Result<f64> {
    let own = std::process::id();
    let mut sum = 0.0;
    for entry in fs::read_dir("/proc")? {
        // Not a process, or one that has just ended.
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else {
            continue;
        };
        if let Ok(stat) = Stat::parse(&stat)
            && (stat.pid == own || stat.parent == own)
        {
            sum += stat.cpu;
        }
    }
    Ok(sum)
}

/// Returns the time in seconds that all processors together have been busy.
pub(crate) fn busy() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().context("/proc/stat is empty")?;
    // cpu user nice system idle iowait irq softirq steal; guests are counted in user.
    let ticks: Vec<f64> = all
        .split_whitespace()
        .skip(1)
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    Ok((ticks.iter().sum::<f64>() - idle) / TICKS_PER_SECOND)
}

struct Stat {
    pid: u32,
    parent: u32,
    cpu: f64,
}

impl Stat {
    /// `pid (name) state ppid … utime stime …`; the name may hold spaces and parentheses.
    fn parse(stat: &str) -> anyhow::Result<Self> {
        const SHORT: &str = "/proc/PID/stat is too short";
        let pid = stat.split(' ').next().context(SHORT)?.parse()?;
        let (_, rest) = stat.rsplit_once(')').context(SHORT)?;
        let fields: Vec<_> = rest.split_whitespace().collect();
        // Counted from the state, which is field 3: ppid is 4, utime and stime are 14 and 15.
        let field = |number: usize| fields.get(number - 3).context(SHORT);
        let ticks = field(14)?.parse::<f64>()? + field(15)?.parse::<f64>()?;
        Ok(Self {
            pid,
            parent: field(4)?.parse()?,
            cpu: ticks / TICKS_PER_SECOND,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_the_name() {
        let line = "12 (a) b) S 7 12 12 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 100 1 1";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.cpu), (12, 7, 2.0));
        assert!(Stat::parse("12 (a) S 7").is_err());
    }

    #[test]
    fn this_process_is_counted() {
        let own = std::process::id();
        assert!(resident_kib(own).unwrap() > 0.0);
        assert!(cpu(own).unwrap() <= own_cpu().unwrap());
        assert!(busy().unwrap() > 0.0);
    }
}
