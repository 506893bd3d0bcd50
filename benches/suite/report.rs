//! Figures, and the table that they are printed and kept as.

use std::fmt;
use std::path::Path;

use crate::{Failure, Result, machine::Machine};

/// Which way a figure is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What issue or page asks of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    /// So many times as good as the peer.
    Times(f64),
    /// At least this, or at most, as the figure is good.
    Value(f64),
    /// Shown for what it tells; nothing is asked of it.
    Nothing,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) work: String,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) ours: f64,
    pub(crate) peer: Option<(String, f64)>,
    pub(crate) reach: Reach,
}

impl Figure {
    pub(crate) fn new(
        work: impl Into<String>,
        unit: &'static str,
        better: Better,
        ours: f64,
    ) -> Self {
        Self {
            work: work.into(),
            unit,
            better,
            ours,
            peer: None,
            reach: Reach::Nothing,
        }
    }

    pub(crate) fn beside(mut self, peer: impl Into<String>, theirs: f64) -> Self {
        self.peer = Some((peer.into(), theirs));
        self
    }

    pub(crate) fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// How many times as good as the peer ours is.
    fn ratio(&self) -> Option<f64> {
        let (_, theirs) = self.peer.as_ref()?;
        Some(match self.better {
            Better::Higher => self.ours / theirs,
            Better::Lower => theirs / self.ours,
        })
    }

    fn reached(&self) -> Option<bool> {
        match self.reach {
            Reach::Nothing => None,
            Reach::Times(times) => self.ratio().map(|ratio| ratio >= times),
            Reach::Value(value) => Some(match self.better {
                Better::Higher => self.ours >= value,
                Better::Lower => self.ours <= value,
            }),
        }
    }

    fn cells(&self) -> [String; 6] {
        let (peer, theirs) = match &self.peer {
            Some((peer, theirs)) => (peer.clone(), number(*theirs, self.unit)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let ratio = self
            .ratio()
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let reach = match self.reach {
            Reach::Nothing => "-".to_owned(),
            // As the goal is said: a ratio below 1 of a time is a longer time.
            Reach::Times(times) if self.better == Better::Lower && times < 1.0 => {
                format!("at most {:.2}x", 1.0 / times)
            }
            Reach::Times(times) => format!("{times:.2}x"),
            Reach::Value(value) => number(value, self.unit),
        };
        let reached = match self.reached() {
            None => String::new(),
            Some(true) => " yes".to_owned(),
            Some(false) => " no".to_owned(),
        };
        let ours = number(self.ours, self.unit);
        [
            self.work.clone(),
            ours,
            theirs,
            peer,
            ratio,
            format!("{reach}{reached}"),
        ]
    }
}

/// Three digits that count, and the unit.
fn number(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$} {unit}")
}

/// Everything that a run has found out.
pub(crate) struct Report {
    machine: Machine,
    figures: Vec<Figure>,
    failures: Vec<String>,
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            machine,
            figures: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Adds a line, and shows it at once to whoever waits.
    pub(crate) fn add(&mut self, figure: Figure) {
        let [work, ours, theirs, peer, ratio, reach] = figure.cells();
        eprintln!("   {work}: ours {ours}, {peer} {theirs}, ratio {ratio} (asked: {reach})");
        self.figures.push(figure);
    }

    pub(crate) fn fail(&mut self, part: &str, failure: &Failure) {
        self.failures.push(format!("{part}: {failure}"));
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.failures.is_empty()
    }

    /// Leaves the table in `target/bench.md`, from where a run worth keeping
    /// is copied into `docs/benchmarks.md`.
    pub(crate) fn keep(&self) -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench.md");
        std::fs::write(&path, self.to_string())?;
        eprintln!("kept in {}", path.display());
        Ok(())
    }
}

const HEAD: [&str; 6] = ["work", "ours", "theirs", "beside", "ratio", "asked"];

/// A Markdown table whose columns also line up as plain text.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        let rows: Vec<[String; 6]> = std::iter::once(HEAD.map(str::to_owned))
            .chain(self.figures.iter().map(Figure::cells))
            .collect();
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (index, row) in rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "| {cell:<width$} ")?;
            }
            writeln!(f, "|")?;
            if index == 0 {
                for width in widths {
                    write!(f, "|{}", "-".repeat(width + 2))?;
                }
                writeln!(f, "|")?;
            }
        }
        for failure in &self.failures {
            writeln!(f, "\nNot measured: {failure}")?;
        }
        Ok(())
    }
}
