//! The report: a row for each attack, and what is beyond its bounds.

use std::fmt;

use crate::attack::Attack;
use crate::deployment::Store;
use crate::figures::Growth;

/// What an attack cost, and what is wrong.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    store: Store,
    /// Highest resident memory of the server in bytes.
    pub(crate) server_peak: u64,
    /// How much the resident memory of Redis grew, in bytes.
    pub(crate) redis_growth: Option<u64>,
    /// How the percentiles of the bystander's worst calls grew.
    pub(crate) p50: Option<Growth>,
    pub(crate) p99: Option<Growth>,
    /// Calls of the bystander that failed.
    pub(crate) failed_calls: usize,
    pub(crate) log_lines: u64,
    pub(crate) problems: Vec<String>,
}

impl Report {
    pub(crate) fn new(attack: &Attack, store: Store) -> Self {
        Self {
            name: attack.name,
            store,
            server_peak: 0,
            redis_growth: None,
            p50: None,
            p99: None,
            failed_calls: 0,
            log_lines: 0,
            problems: Vec::new(),
        }
    }

    /// Returns whether everything stayed within its bounds.
    pub(crate) fn held(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Prints the head of the table.
pub(crate) fn print_head() {
    println!(
        "{:<26} {:<7} {:>8} {:>9} {:>16} {:>16} {:>7} {:>5}  verdict",
        "attack", "store", "peak MiB", "Redis +", "p50 (ratio)", "p99 (ratio)", "errors", "log"
    );
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redis = self.redis_growth.map_or_else(|| "-".to_owned(), mib);
        let latency = |percentile: Option<Growth>| match percentile {
            Some(Growth { ms, ratio, .. }) => format!("{ms:.1} ms ({ratio:.1})"),
            None => "-".to_owned(),
        };
        writeln!(
            f,
            "{:<26} {:<7} {:>8} {:>9} {:>16} {:>16} {:>7} {:>5}  {}",
            self.name,
            self.store,
            mib(self.server_peak),
            redis,
            latency(self.p50),
            latency(self.p99),
            self.failed_calls,
            self.log_lines,
            if self.held() { "withstood" } else { "FAILED" },
        )?;
        for problem in &self.problems {
            writeln!(f, "    {problem}")?;
        }
        Ok(())
    }
}

/// Formats bytes in MiB.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / (1024.0 * 1024.0))
}
