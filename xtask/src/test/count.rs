//! How many tests a suite ran, read from what it printed.

/// Who printed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A step that either succeeds or fails.
    None,
    Nextest,
    Cargo,
    Node,
    /// A line `FAILED …` for each failure, and a last line
    /// `conformance: 10 of 12 implementors pass, 1230 cases were run`.
    Conformance,
    /// A last line `chaos: 2 of 2 runs passed`.
    Chaos,
    /// A last line `abuse: 48 of 50 attacks withstood`.
    Abuse,
    /// A last line `fuzz: 5 of 5 targets passed`.
    Fuzz,
    /// A last line `python: 439 of 440 checks passed`.
    Python,
}

/// Tests that ran, those among them that failed, and those left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) run: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

/// Nothing, if the text holds no count in this format.
pub(super) fn count(format: Format, text: &str) -> Option<Count> {
    match format {
        Format::None => None,
        Format::Nextest => {
            let line = last(text, |line| line.trim_start().starts_with("Summary ["))?;
            let passed = before(line, "passed").unwrap_or(0);
            // A test that hung or was killed counts as neither.
            let run = before(line, "tests run:").or_else(|| before(line, "test run:"))?;
            let skipped = before(line, "skipped").unwrap_or(0);
            Some(Count {
                run,
                failed: run.checked_sub(passed)?,
                skipped,
            })
        }
        Format::Cargo => {
            let lines = text
                .lines()
                .filter(|line| line.starts_with("test result: "));
            let counts = lines.map(|line| {
                let failed = before(line, "failed;")?;
                Some(Count {
                    run: before(line, "passed;")? + failed,
                    failed,
                    skipped: before(line, "ignored;")?,
                })
            });
            let counts: Vec<Count> = counts.collect::<Option<_>>()?;
            counts.into_iter().reduce(Count::plus)
        }
        Format::Node => {
            let skipped = node(text, "skipped")? + node(text, "todo")?;
            let run = node(text, "tests")?.checked_sub(skipped)?;
            let failed = run.checked_sub(node(text, "pass")?)?;
            Some(Count {
                run,
                failed,
                skipped,
            })
        }
        Format::Conformance => {
            let line = last(text, |line| line.starts_with("conformance: "))?;
            let failures = text.lines().filter(|line| line.starts_with("FAILED "));
            // An implementor that could not be started has no failures of its own.
            let implementors = before(line, "implementors pass")?;
            let bad = implementors.checked_sub(before(line, "of ")?)?;
            Some(Count {
                run: before(line, "cases were run")?,
                failed: bad.max(u64::try_from(failures.count()).ok()?),
                skipped: 0,
            })
        }
        Format::Chaos => passed(text, "chaos: ", "runs passed"),
        Format::Abuse => passed(text, "abuse: ", "attacks withstood"),
        Format::Fuzz => passed(text, "fuzz: ", "targets passed"),
        Format::Python => passed(text, "python: ", "checks passed"),
    }
}

impl Count {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            run: self.run + other.run,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// The count of a last line such as `chaos: 2 of 3 runs passed`.
fn passed(text: &str, start: &str, unit: &str) -> Option<Count> {
    let line = last(text, |line| line.starts_with(start))?;
    let run = before(line, unit)?;
    let failed = run.checked_sub(before(line, "of ")?)?;
    Some(Count {
        run,
        failed,
        skipped: 0,
    })
}

fn last(text: &str, wanted: impl Fn(&str) -> bool) -> Option<&str> {
    text.lines().rfind(|line| wanted(line))
}

/// The number that stands right before these words.
fn before(line: &str, words: &str) -> Option<u64> {
    let at = line.find(&format!(" {words}"))?;
    line[..at].split_whitespace().next_back()?.parse().ok()
}

/// A line such as `ℹ tests 12`, or `# tests 12`.
fn node(text: &str, name: &str) -> Option<u64> {
    let line = last(text, |line| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("ℹ" | "#")) && words.next() == Some(name)
    })?;
    line.split_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(run: u64, failed: u64, skipped: u64) -> Option<Count> {
        Some(Count {
            run,
            failed,
            skipped,
        })
    }

    #[test]
    fn nextest() {
        let all = "  PASS [ 0.1s] a b\n     Summary [   0.012s] 5 tests run: 5 passed, 0 skipped\n";
        assert_eq!(count(Format::Nextest, all), counted(5, 0, 0));
        let some = "     Summary [  12.5s] 9 tests run: 6 passed (1 slow), 2 failed, 1 timed out, 3 skipped";
        assert_eq!(count(Format::Nextest, some), counted(9, 3, 3));
        let one = "     Summary [   0.003s] 1 test run: 0 passed, 1 failed, 0 skipped\n";
        assert_eq!(count(Format::Nextest, one), counted(1, 1, 0));
        let nothing = "     Summary [   0.000s] 0 tests run: 0 passed, 0 skipped\n";
        assert_eq!(count(Format::Nextest, nothing), counted(0, 0, 0));
        assert_eq!(count(Format::Nextest, "error: could not compile"), None);
    }

    #[test]
    fn cargo_test_adds_its_programs_up() {
        let text = "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
            running 2 tests\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(count(Format::Cargo, text), counted(7, 2, 1));
        assert_eq!(count(Format::Cargo, "error: could not compile"), None);
    }

    #[test]
    fn node_in_both_styles() {
        let spec = "✔ a (1ms)\nℹ tests 12\nℹ suites 0\nℹ pass 10\nℹ fail 1\nℹ cancelled 0\nℹ skipped 1\nℹ todo 0\n";
        assert_eq!(count(Format::Node, spec), counted(11, 1, 1));
        let tap =
            "# tests 3\n# suites 1\n# pass 3\n# fail 0\n# cancelled 0\n# skipped 0\n# todo 0\n";
        assert_eq!(count(Format::Node, tap), counted(3, 0, 0));
        assert_eq!(count(Format::Node, "SyntaxError"), None);
    }

    #[test]
    fn conformance_counts_failures_and_absences() {
        let last = "conformance: 10 of 12 implementors pass, 1230 cases were run\n";
        assert_eq!(count(Format::Conformance, last), counted(1230, 2, 0));
        let text = "FAILED redis a::b: c\n".repeat(3) + last;
        assert_eq!(count(Format::Conformance, &text), counted(1230, 3, 0));
        let good = "conformance: 12 of 12 implementors pass, 1230 cases were run";
        assert_eq!(count(Format::Conformance, good), counted(1230, 0, 0));
        assert_eq!(count(Format::Conformance, "error: no such file"), None);
    }

    #[test]
    fn chaos_counts_runs() {
        let text = "seed 3, 15 s of faults\nchaos: 1 of 3 runs passed\n";
        assert_eq!(count(Format::Chaos, text), counted(3, 2, 0));
        assert_eq!(count(Format::Chaos, "error: no such file"), None);
    }

    #[test]
    fn abuse_counts_attacks() {
        let text = "flood-pings  FAILED\nabuse: 48 of 50 attacks withstood\n";
        assert_eq!(count(Format::Abuse, text), counted(50, 2, 0));
        assert_eq!(count(Format::Abuse, "error: no such file"), None);
    }

    #[test]
    fn fuzzing_counts_targets() {
        let text = "resp: exit status: 77; 9 inputs\nfuzz: 4 of 5 targets passed\n";
        assert_eq!(count(Format::Fuzz, text), counted(5, 1, 0));
        assert_eq!(count(Format::Fuzz, "error: no such file"), None);
    }

    #[test]
    fn the_python_client_counts_checks() {
        let text = "FAILED a\npython: 438 of 440 checks passed in 16.1 s\n";
        assert_eq!(count(Format::Python, text), counted(440, 2, 0));
        assert_eq!(count(Format::Python, "Traceback"), None);
    }

    #[test]
    fn a_step_has_no_count() {
        assert_eq!(count(Format::None, "# tests 3"), None);
    }
}
