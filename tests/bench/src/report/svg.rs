//! The picture for the README.

use super::{Report, Row};

/// All lengths are in pixels.
const WIDTH: f64 = 860.0;
const LINE: f64 = 22.0;
const BAR: f64 = 14.0;
const MARGIN: f64 = 16.0;
/// The left end of the bars, and the length of the longest. Texts are left and right of them.
const BARS_X: f64 = 190.0;
const LONGEST: f64 = 330.0;

/// Follows the reader's colour scheme, light or dark; light by default.
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}\
.head{font-weight:600}.faint{fill:#59636e}.ours{fill:#0969da}.rival{fill:#afb8c1}\
.ground{fill:#ffffff}.missed{fill:#bc4c00}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.faint{fill:#9198a1}.ours{fill:#4493f8}\
.rival{fill:#656c76}.ground{fill:#0d1117}.missed{fill:#f0883e}}";

/// Draws the rows that have goals as bars. The bars of one row have the same scale.
pub(crate) fn draw(report: &Report) -> String {
    let mut body = String::new();
    let mut y = MARGIN + BAR;
    text(
        &mut body,
        MARGIN,
        y,
        "head",
        "streamgate and others in the same run (in brackets: ratio of streamgate to the other)",
    );
    y += LINE;
    text(&mut body, MARGIN, y, "faint", &report.machine.summary());
    for row in report.rows.iter().filter(|row| row.has_goal()) {
        y += LINE * 1.5;
        let title = format!("{}: {}", row.workload, row.measure);
        text(&mut body, MARGIN, y, "head", &title);
        y = bars(&mut body, y, row);
    }
    let height = y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>streamgate compared with Redis and NATS</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n{body}</svg>\n"
    )
}

/// Draws a row's bars below `y` and returns where they end.
fn bars(body: &mut String, mut y: f64, row: &Row) -> f64 {
    let figures = row.baselines.iter().map(|baseline| baseline.figure.median);
    let largest = figures.fold(row.ours.median, f64::max);
    let mut bar = |class, name: &str, figure: f64, remark: &str, is_missed| {
        y += LINE;
        // Zero and NaN have no bar.
        let length = (figure / largest * LONGEST).max(0.0);
        text(body, MARGIN, y, "faint", name);
        *body += &format!(
            "<rect class=\"{class}\" x=\"{BARS_X}\" y=\"{:.0}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\"/>\n",
            y - BAR + 3.0
        );
        let shown = format!("{}{remark}", row.unit.format(figure));
        let class = if is_missed { "missed" } else { "plain" };
        text(body, BARS_X + length + 8.0, y, class, &shown);
    };
    let missed = row.goal.filter(|goal| !goal.is_met_by(row.ours.median));
    let remark = row
        .goal
        .map_or_else(String::new, |goal| format!(" (goal {goal})"));
    bar(
        "ours",
        "streamgate",
        row.ours.median,
        &remark,
        missed.is_some(),
    );
    for baseline in &row.baselines {
        let goal = baseline
            .goal
            .map_or_else(String::new, |goal| format!(", goal {goal}"));
        // Two zeros have no ratio.
        let remark = if baseline.ratio.is_finite() {
            format!("  ({:.2}{goal})", baseline.ratio)
        } else {
            String::new()
        };
        let missed = baseline
            .goal
            .is_some_and(|goal| !goal.is_met_by(baseline.ratio));
        bar(
            "rival",
            baseline.name,
            baseline.figure.median,
            &remark,
            missed,
        );
    }
    y
}

fn text(body: &mut String, x: f64, y: f64, class: &str, words: &str) {
    let words = escape(words);
    *body += &format!("<text class=\"{class}\" x=\"{x:.0}\" y=\"{y:.0}\">{words}</text>\n");
}

fn escape(words: &str) -> String {
    words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
