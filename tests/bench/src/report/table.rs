//! The printed table.

use super::{Goal, Row};
use crate::harness::Machine;

/// Prints the machine and the names of the columns.
pub(crate) fn print_header(machine: &Machine) {
    println!("{}", machine.summary());
    println!("medians of all rounds; ratio: streamgate's figure divided by the baseline's\n");
    let names = [
        "workload",
        "figure",
        "streamgate",
        "baseline",
        "",
        "ratio",
        "goal",
        "",
    ];
    println!("{}", line(names));
}

/// Prints rows, with a line for each baseline.
pub(crate) fn print(rows: &[Row]) {
    for row in rows {
        for cells in lines(row) {
            println!("{}", line(cells.each_ref().map(String::as_str)));
        }
    }
}

fn lines(row: &Row) -> Vec<[String; 8]> {
    let text = str::to_owned;
    let ours = row.unit.format(row.ours.median);
    let mut lines = Vec::new();
    if row.goal.is_some() || row.baselines.is_empty() {
        let [goal, met] = goal_cells(row.goal, row.ours.median);
        let none = String::new;
        let (workload, measure) = (text(row.workload), text(row.measure));
        lines.push([
            workload,
            measure,
            ours.clone(),
            none(),
            none(),
            none(),
            goal,
            met,
        ]);
    }
    for baseline in &row.baselines {
        let [goal, met] = goal_cells(baseline.goal, baseline.ratio);
        lines.push([
            text(row.workload),
            text(row.measure),
            ours.clone(),
            text(baseline.name),
            row.unit.format(baseline.figure.median),
            ratio(baseline.ratio),
            goal,
            met,
        ]);
    }
    lines
}

/// Two zeros, or no figures, have no ratio.
fn ratio(ratio: f64) -> String {
    if ratio.is_finite() {
        format!("{ratio:.2}")
    } else {
        "-".to_owned()
    }
}

fn goal_cells(goal: Option<Goal>, value: f64) -> [String; 2] {
    let Some(goal) = goal else {
        return [String::new(), String::new()];
    };
    let met = if goal.is_met_by(value) {
        "met"
    } else {
        "MISSED"
    };
    [goal.to_string(), met.to_owned()]
}

fn line(cells: [&str; 8]) -> String {
    let [workload, measure, ours, name, theirs, ratio, goal, met] = cells;
    let line = format!(
        "{workload:<22} {measure:<34} {ours:>10}   {name:<26} {theirs:>10} {ratio:>6}  {goal:<7} {met}"
    );
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Unit;
    use super::*;

    #[test]
    fn a_row_has_a_line_for_each_baseline_and_one_for_its_own_goal() {
        let row = Row::new("adds", "adds", Unit::PerSecond, vec![90.0])
            .compared_with("a", vec![100.0], Goal::AtLeast(0.9))
            .compared_with("b", vec![30.0], None);
        let printed = lines(&row);
        assert_eq!(printed.len(), 2);
        assert_eq!(printed[0][5..], ["0.90", "\u{2265} 0.9", "met"]);
        assert_eq!(printed[1][5..], ["3.00", "", ""]);
        let lost = Row::new("tails", "lost", Unit::Count, vec![1.0]).with_goal(Goal::AtMost(0.0));
        assert_eq!(lines(&lost)[0][6..], ["\u{2264} 0", "MISSED"]);
    }
}
