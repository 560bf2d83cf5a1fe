//! Resident memory of a process, as Linux counts it (proc(5)).

use std::fs;

use anyhow::Context;

/// Returns the resident memory of a process in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmRSS:")
}

/// Returns the highest resident memory of a process since it started, or since
/// [`reset_peak`], in bytes.
pub(crate) fn peak(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmHWM:")
}

/// Makes the current resident memory of a process its highest.
pub(crate) fn reset_peak(pid: u32) -> anyhow::Result<()> {
    /// What proc(5) names for this.
    const RESET_PEAK: &str = "5";
    fs::write(format!("/proc/{pid}/clear_refs"), RESET_PEAK)
        .with_context(|| format!("cannot reset the peak memory of process {pid}"))
}

fn status(pid: u32, name: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} has ended"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib
        .with_context(|| format!("process {pid} has ended: it has no {name}"))?
        .parse()?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_stays_until_it_is_reset() {
        const BYTES: usize = 64 << 20;
        let own = std::process::id();
        drop(std::hint::black_box(vec![1_u8; BYTES]));
        let before = peak(own).unwrap();
        assert!(before >= BYTES as u64);
        reset_peak(own).unwrap();
        assert!(peak(own).unwrap() < before);
        assert!(resident(own).unwrap() > 0);
    }
}
