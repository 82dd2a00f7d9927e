//! The results: a table for people, the same as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::machine::Machine;

/// One measured row.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: String,
    /// What was measured, with its unit.
    pub(crate) what: String,
    /// Cairn's figure: the median of the rounds.
    pub(crate) cairn: f64,
    /// The baseline's, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bare: Option<f64>,
    /// Cairn's divided by the baseline's: the median over the rounds of each round's own ratio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
    /// The least and the greatest of these ratios.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spread: Option<(f64, f64)>,
    /// What it should be.
    pub(crate) target: String,
    /// Whether it is; a row without a target has no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) met: Option<bool>,
    /// What else was seen.
    pub(crate) notes: Vec<String>,
}

/// Everything that one run has measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// Where.
    pub(crate) machine: Machine,
    /// What.
    pub(crate) rows: Vec<Row>,
}

/// Rates of Cairn and of the baseline, measured alternately.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rounds {
    cairn: Vec<f64>,
    bare: Vec<f64>,
}

impl Rounds {
    /// Adds a round.
    pub(crate) fn push(&mut self, cairn: f64, bare: f64) {
        self.cairn.push(cairn);
        self.bare.push(bare);
    }

    /// The row of these rounds.
    #[must_use]
    pub(crate) fn row(&self, name: &str, what: &str, target: &str) -> Row {
        let ratios: Vec<f64> = self.cairn.iter().zip(&self.bare).map(|(cairn, bare)| cairn / bare).collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        Row {
            name: name.to_owned(),
            what: what.to_owned(),
            cairn: median(&self.cairn),
            bare: Some(median(&self.bare)),
            ratio: Some(median(&ratios)),
            spread: Some((least, most)),
            target: target.to_owned(),
            met: None,
            notes: Vec::new(),
        }
    }
}

/// The middle one, or the mean of the two in the middle.
#[must_use]
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => at(odd / 2),
        even => f64::midpoint(at(even / 2 - 1), at(even / 2)),
    }
}

impl Report {
    /// A Markdown table, with the notes below it.
    #[must_use]
    pub(crate) fn markdown(&self) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "{} cores of {}, {:.0} GiB, Linux {}; fdatasync of 4 KiB: p50 {:.0} us, p99 {:.0} us; load before the run {:.1}\n\n",
            machine.cores,
            machine.cpu,
            machine.memory_gib,
            machine.kernel,
            machine.fdatasync_p50_us,
            machine.fdatasync_p99_us,
            machine.load_before,
        );
        text.push_str("| row | measured | Cairn | bare | ratio (least - most) | target | met |\n");
        text.push_str("|---|---|---:|---:|---:|---|---|\n");
        for row in &self.rows {
            let bare = row.bare.map_or_else(String::new, figure);
            let spread = row.spread.map_or_else(String::new, |(least, most)| format!(" ({least:.2} - {most:.2})"));
            let ratio = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}{spread}"));
            let met = row.met.map_or("", |met| if met { "yes" } else { "**no**" });
            let Row { name, what, target, .. } = row;
            // Writing into a string does not fail.
            let _ = writeln!(text, "| {name} | {what} | {} | {bare} | {ratio} | {target} | {met} |", figure(row.cairn));
        }
        for row in self.rows.iter().filter(|row| !row.notes.is_empty()) {
            let _ = writeln!(text, "\n{}:", row.name);
            for note in &row.notes {
                let _ = writeln!(text, "- {note}");
            }
        }
        text
    }
}

/// A number with as many digits as mean something.
fn figure(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_ratios() {
        let mut rounds = Rounds::default();
        for (cairn, bare) in [(1.0, 2.0), (30.0, 40.0), (9.0, 10.0)] {
            rounds.push(cairn, bare);
        }
        let row = rounds.row("name", "what", "target");
        assert_eq!((row.cairn, row.bare, row.ratio), (9.0, Some(10.0), Some(0.75)));
        assert_eq!(row.spread, Some((0.5, 0.9)));
        assert_eq!(median(&[1.0, 2.0, 4.0, 3.0]), 2.5);
    }

    #[test]
    fn figures_are_grouped() {
        assert_eq!(
            [1.234, 99.999, 100.4, 1_234.0, 1_234_567.8].map(figure),
            ["1.23", "100.00", "100", "1,234", "1,234,568"]
        );
    }
}
