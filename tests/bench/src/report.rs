//! What was measured, as a table for a terminal, as Markdown for `docs/benchmarks.md`, as JSON.
//!
//! Invariant: a figure stands beside its goal, met or missed; nothing is rounded in its favour.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

/// One load on one server.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) per_second: f64,
    /// To the baseline of the same run, where the comparison means something.
    pub(super) ratio: Option<f64>,
    /// Of the server, per answer.
    pub(super) cpu_micros: f64,
    /// Of the load generator, per answer.
    pub(super) generator_cpu_micros: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) longest_ms: f64,
}

/// Which way a figure is good.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Only shown.
    None,
}

/// One number that matters.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    pub(super) goal: Goal,
}

/// What it was measured on; without it the rest says little.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    /// File system under the databases: on `tmpfs` an fsync costs nothing, and writes look too good.
    file_system: String,
    build: &'static str,
}

/// Everything of one run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// What the server stood on.
    pub(super) services: &'static str,
    pub(super) connections: usize,
    pub(super) seconds: u64,
    pub(super) rows: Vec<Row>,
    pub(super) figures: Vec<Figure>,
}

pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl Figure {
    pub(super) fn new(name: &str, value: f64, unit: &'static str, goal: Goal) -> Self {
        Self { name: name.to_owned(), value, unit, goal }
    }

    fn verdict(&self) -> String {
        match self.goal {
            Goal::AtLeast(bound) => {
                format!("≥ {bound} {}", if self.value >= bound { "met" } else { "MISSED" })
            }
            Goal::AtMost(bound) => {
                format!("≤ {bound} {}", if self.value <= bound { "met" } else { "MISSED" })
            }
            Goal::None => String::new(),
        }
    }

    fn shown(&self) -> String {
        let digits = if self.value < 10.0 { 2 } else { usize::from(self.value < 100.0) };
        format!("{:.digits$} {}", self.value, self.unit).trim_end().to_owned()
    }
}

impl Machine {
    pub(super) fn of(folder: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kibibytes: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or(0);
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_gib: kibibytes >> 20,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&read("/proc/mounts"), folder),
            build: if cfg!(debug_assertions) {
                "debug build, so the figures mean nothing"
            } else {
                "release build"
            },
        }
    }

    fn line(&self) -> String {
        let Self { processor, cores, memory_gib, kernel, file_system, build } = self;
        format!(
            "{cores} cores of {processor}, {memory_gib} GiB, Linux {kernel}, databases on {file_system}, {build}"
        )
    }
}

/// The type of the file system that holds a folder: that of the longest mount point above it.
fn file_system(mounts: &str, folder: &Path) -> String {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let above = mounts.filter(|(point, _)| folder.starts_with(point));
    above
        .max_by_key(|(point, _)| point.len())
        .map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

const ROW_TITLES: [&str; 8] =
    ["", "per second", "ratio", "CPU µs", "generator µs", "p50 ms", "p99 ms", "max ms"];
const FIGURE_TITLES: [&str; 3] = ["", "measured", "goal"];

impl Report {
    fn row_cells(&self) -> Vec<Vec<String>> {
        let cells = |row: &Row| {
            vec![
                row.name.clone(),
                format!("{:.0}", row.per_second),
                row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                format!("{:.1}", row.cpu_micros),
                format!("{:.1}", row.generator_cpu_micros),
                format!("{:.3}", row.p50_ms),
                format!("{:.3}", row.p99_ms),
                format!("{:.3}", row.longest_ms),
            ]
        };
        self.rows.iter().map(cells).collect()
    }

    fn figure_cells(&self) -> Vec<Vec<String>> {
        self.figures
            .iter()
            .map(|figure| vec![figure.name.clone(), figure.shown(), figure.verdict()])
            .collect()
    }

    /// For a terminal.
    pub(super) fn table(&self) -> String {
        let mut out = format!("{}\n{}\n\n", self.machine.line(), self.load_line());
        if !self.rows.is_empty() {
            push_columns(&mut out, &ROW_TITLES, &self.row_cells());
            out.push('\n');
        }
        push_columns(&mut out, &FIGURE_TITLES, &self.figure_cells());
        out
    }

    /// For `docs/benchmarks.md`.
    pub(super) fn markdown(&self) -> String {
        let mut out = format!("{}.\n{}.\n\n", self.machine.line(), self.load_line());
        push_markdown(&mut out, &FIGURE_TITLES, &self.figure_cells());
        if !self.rows.is_empty() {
            out.push('\n');
            push_markdown(&mut out, &ROW_TITLES, &self.row_cells());
        }
        out
    }

    fn load_line(&self) -> String {
        format!(
            "{}; {} connections, {} s for each row, load generator on the same machine",
            self.services, self.connections, self.seconds
        )
    }
}

fn push_columns(out: &mut String, titles: &[&str], rows: &[Vec<String>]) {
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&titles]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for row in [&titles].into_iter().chain(rows) {
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            // Names are read from the left, numbers from the right. Writing to a text cannot fail.
            let _ = if column == 0 { write!(out, "{cell:<width$}") } else { write!(out, "  {cell:>width$}") };
        }
        out.push('\n');
    }
}

fn push_markdown(out: &mut String, titles: &[&str], rows: &[Vec<String>]) {
    let rule: Vec<&str> =
        titles.iter().enumerate().map(|(at, _)| if at == 0 { "---" } else { "---:" }).collect();
    out.extend(["| ", &titles.join(" | "), " |\n|", &rule.join("|"), "|\n"]);
    for row in rows {
        out.extend(["| ", &row.join(" | "), " |\n"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let row = Row {
            name: "list 304".to_owned(),
            per_second: 50_000.4,
            ratio: Some(0.625),
            cpu_micros: 11.0,
            generator_cpu_micros: 9.0,
            p50_ms: 0.3,
            p99_ms: 1.0,
            longest_ms: 4.0,
        };
        let figures = vec![
            Figure::new("list 304 to baseline", 0.499, "", Goal::AtLeast(0.5)),
            Figure::new("memory", 512.0, "MB", Goal::AtMost(600.0)),
        ];
        Report {
            machine: Machine::of(Path::new("/")),
            services: "SQLite",
            connections: 32,
            seconds: 5,
            rows: vec![row],
            figures,
        }
    }

    #[test]
    fn a_missed_goal_is_said() {
        let table = report().table();
        assert!(table.contains("0.50  ≥ 0.5 MISSED"), "{table}");
        assert!(table.contains("512 MB"), "{table}");
        assert!(report().markdown().contains("| list 304 | 50000 | 0.62 |"), "{}", report().markdown());
    }

    #[test]
    fn the_nearest_mount_point_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\nx /tm xfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/x")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/var")), "ext4");
    }
}
