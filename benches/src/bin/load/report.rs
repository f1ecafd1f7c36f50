//! What a run says: a table in Markdown for people, and JSON.

use crate::machine;
use crate::run::{ColdStart, Row};
use serde::Serialize;
use std::fmt::Write;
use std::process::Command;

/// The share of the machine that others may have before a row is marked.
const DISTURBED: f64 = 0.05;

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: String,
    /// Of what: the commit of the sources, and whether they were changed since.
    pub commit: String,
    /// How long a slice was, in seconds.
    pub slice_seconds: f64,
    /// How many slices each row has.
    pub rounds: usize,
    /// The rows.
    pub rows: Vec<Row>,
    /// How Writ starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold_start: Option<ColdStart>,
}

/// The commit of the sources that this was built of, if git knows it.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        let run = git
            .arg("-C")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(arguments);
        let output = run.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain"]).is_some_and(|files| !files.is_empty());
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    format!("{commit}{}", if changed { ", changed" } else { "" })
}

/// A table in Markdown: the first column is text, the others are numbers.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let cells = cells.map(|cell| cell.chars().count());
        cells.fold(head[column].chars().count(), usize::max)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        out.push('|');
        for (column, (cell, width)) in cells.zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(out, " {cell:width$} |"),
                _ => write!(out, " {cell:>width$} |"),
            };
        }
        out.push('\n');
    };
    line(&mut head.iter().copied());
    let rules: Vec<String> = (widths.iter().enumerate())
        .map(|(column, width)| match column {
            0 => "-".repeat(*width),
            _ => format!("{}:", "-".repeat(width - 1)),
        })
        .collect();
    line(&mut rules.iter().map(String::as_str));
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    out
}

fn or_dash(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// Bytes in millions.
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

impl Report {
    /// About this machine and these sources.
    pub fn new(rows: Vec<Row>, slice_seconds: f64, rounds: usize) -> Self {
        Self {
            machine: machine::description(),
            commit: commit(),
            slice_seconds,
            rounds,
            rows,
            cold_start: None,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{}; commit {}; {} × {} s a row, clients on the same processors\n\n",
            self.machine, self.commit, self.rounds, self.slice_seconds
        );
        let head = [
            "row",
            "server µs",
            "goal",
            "× bare",
            "× floor",
            "rate/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "client µs",
            "MB",
            "others %",
        ];
        let rows: Vec<Vec<String>> = self.rows.iter().map(cells).collect();
        out.push_str(&table(&head, &rows));
        out.push_str(
            "\nserver µs: processor time of the server for each answer, by the kernel. × bare, × floor: \
             that time as a\nmultiple of a bare handler's and of the least that must be done (bare, or bare \
             and a signature), in the same\nround. others %: what other processes had of the machine in \
             the worst slice; * is more than 5.\n",
        );
        for row in &self.rows {
            let Some(rate) = row.rate_of_without else {
                continue;
            };
            let without = row.subject.without().map(|it| it.to_string());
            let _ = write!(
                out,
                "\n{}: {rate:.2} of the rate of {}, {:.2} of its time",
                row.name,
                without.unwrap_or_default(),
                row.of_without.unwrap_or(f64::NAN),
            );
            if let Some(goal) = row.subject.goal_of_rate() {
                let _ = write!(out, "; goal {goal} of the rate");
            }
            if let Some(goal) = row.subject.goal_p99_ms() {
                let _ = write!(out, ", p99 of {goal} ms");
            }
            if let Some(changes) = row.changes {
                let _ = write!(out, "; {changes:.0} changes a second were made meanwhile");
            }
        }
        for row in &self.rows {
            let bad: u64 = row.slices.iter().map(|slice| slice.bad).sum();
            if bad > 0 {
                let first = row.slices.iter().find_map(|slice| slice.trouble.as_deref());
                let first = first.unwrap_or_default();
                let _ = write!(
                    out,
                    "\n{}: {bad} answers were not good; the first: {first}",
                    row.name
                );
            }
        }
        if let Some(cold) = &self.cold_start {
            let _ = write!(
                out,
                "\ncold start with {} applications: {:.0} ms ({:.0} ms of processor time), {:.1} MB; \
                 goals 100 ms, 40 MB",
                cold.applications,
                cold.milliseconds,
                cold.server_ms,
                megabytes(cold.memory)
            );
        }
        out.push('\n');
        out
    }
}

fn cells(row: &Row) -> Vec<String> {
    let disturbed = if row.others > DISTURBED { "*" } else { "" };
    vec![
        row.name.clone(),
        format!("{:.1}", row.server_us),
        or_dash(row.goal_us, 0),
        or_dash(row.of_bare, 2),
        or_dash(row.of_floor, 2),
        format!("{:.0}", row.rate),
        format!("{:.2}", row.p50_ms),
        format!("{:.2}", row.p99_ms),
        format!("{:.2}", row.p999_ms),
        format!("{:.1}", row.client_us),
        format!("{:.1}", megabytes(row.memory)),
        format!("{disturbed}{:.0}", row.others * 100.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_markdown() {
        let rows = vec![
            vec!["a".to_owned(), "1.0".to_owned()],
            vec!["long name".to_owned(), "12345".to_owned()],
        ];
        let expected = "\
| row       |  µs/t |
| --------- | ----: |
| a         |   1.0 |
| long name | 12345 |
";
        assert_eq!(table(&["row", "µs/t"], &rows), expected);
    }
}
