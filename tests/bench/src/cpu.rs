//! What a process has used of the processors, as Linux counts it.

use anyhow::Context;

/// Clock ticks a second in `/proc`: 100 on every Linux that Rust runs on (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time, user and system, since the process began.
pub(crate) fn seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name, in parentheses, may hold spaces; 14 and 15 are counted from the first.
    let after_name = stat
        .rsplit(')')
        .next()
        .context("/proc/PID/stat without a name")?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut next = || -> anyhow::Result<f64> {
        Ok(fields
            .next()
            .context("/proc/PID/stat is too short")?
            .parse()?)
    };
    Ok((next()? + next()?) / TICKS_PER_SECOND)
}
