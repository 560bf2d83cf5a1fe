//! The picture for the README.

use super::{Report, Row};

/// All lengths are pixels of a picture that is shown in its own size or smaller.
const WIDTH: f64 = 860.0;
const LINE: f64 = 22.0;
const BAR: f64 = 14.0;
const MARGIN: f64 = 16.0;
/// Where the bars begin, and how long the longest is; texts are left and right of them.
const BARS: f64 = 190.0;
const LONGEST: f64 = 330.0;

/// Follows the reader's choice of light or dark; without one, it is light on a white ground.
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}\
.head{font-weight:600}.faint{fill:#59636e}.ours{fill:#0969da}.rival{fill:#afb8c1}\
.ground{fill:#ffffff}.missed{fill:#bc4c00}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.faint{fill:#9198a1}.ours{fill:#4493f8}\
.rival{fill:#656c76}.ground{fill:#0d1117}.missed{fill:#f0883e}}";

/// Draws the rows that have goals as bars; those of one row have one scale.
pub(crate) fn draw(report: &Report) -> String {
    let mut body = String::new();
    let mut y = MARGIN + BAR;
    text(
        &mut body,
        MARGIN,
        y,
        "head",
        "streamgate, measured side by side in one run (in brackets: its ratio to the other)",
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
         <title>streamgate beside Redis and NATS</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n{body}</svg>\n"
    )
}

/// Draws a row's bars below `y` and returns where they end.
fn bars(body: &mut String, mut y: f64, row: &Row) -> f64 {
    let figures = row.rivals.iter().map(|rival| rival.figure.median);
    let largest = figures.fold(row.ours.median, f64::max);
    let mut bar = |class, name: &str, figure: f64, remark: &str, is_missed| {
        y += LINE;
        // Zero and what is no number have no bar.
        let length = (figure / largest * LONGEST).max(0.0);
        text(body, MARGIN, y, "faint", name);
        *body += &format!(
            "<rect class=\"{class}\" x=\"{BARS}\" y=\"{:.0}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\"/>\n",
            y - BAR + 3.0
        );
        let shown = format!("{}{remark}", row.unit.show(figure));
        let class = if is_missed { "missed" } else { "plain" };
        text(body, BARS + length + 8.0, y, class, &shown);
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
    for rival in &row.rivals {
        let goal = rival
            .goal
            .map_or_else(String::new, |goal| format!(", goal {goal}"));
        // Of nothing to nothing there is no ratio.
        let remark = if rival.ratio.is_finite() {
            format!("  ({:.2}{goal})", rival.ratio)
        } else {
            String::new()
        };
        let missed = rival.goal.is_some_and(|goal| !goal.is_met_by(rival.ratio));
        bar("rival", rival.name, rival.figure.median, &remark, missed);
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
