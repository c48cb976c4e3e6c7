//! What the doctor has found, for people and as JSON.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something does not work, or will stop working.
    Problem,
    Note,
}

/// One thing the doctor has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name, which stays the same: `state-directory`.
    pub check: &'static str,
    pub level: Level,
    /// What was found, one line.
    pub what: String,
    /// Why it is so, one line.
    pub cause: String,
    /// What to do, one line; empty if nothing needs to be done.
    pub repair: String,
    /// Whether it has just been repaired.
    pub repaired: bool,
}

impl Finding {
    /// Returns a problem; add the rest with [`because`](Self::because) and
    /// [`repair`](Self::repair).
    pub fn problem(check: &'static str, what: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Problem,
            what: what.into(),
            cause: String::new(),
            repair: String::new(),
            repaired: false,
        }
    }

    /// Returns a note.
    pub fn note(check: &'static str, what: impl Into<String>) -> Self {
        Self {
            level: Level::Note,
            ..Self::problem(check, what)
        }
    }

    /// Notes how the repair went.
    pub fn settle(&mut self, done: Result<(), String>) {
        match done {
            Ok(()) => self.repaired = true,
            Err(error) => self.cause = format!("{}; repairing failed: {error}", self.cause),
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = cause.into();
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn repair(mut self, repair: impl Into<String>) -> Self {
        self.repair = repair.into();
        self
    }

    /// Sets whether it has just been repaired.
    #[must_use]
    pub fn repaired(mut self, repaired: bool) -> Self {
        self.repaired = repaired;
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match (self.repaired, self.level) {
            (true, Level::Problem | Level::Note) => "repaired",
            (false, Level::Problem) => "problem",
            (false, Level::Note) => "note",
        };
        write!(f, "{word}: {}", self.what)?;
        if !self.cause.is_empty() {
            write!(f, " ({})", self.cause)?;
        }
        if !self.repair.is_empty() && !self.repaired {
            write!(f, "; {}", self.repair)?;
        }
        Ok(())
    }
}

/// All findings, in the order of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Adds findings.
    pub fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// Replaces networks' ids in the texts by their names, because an id says nothing
    /// to people. `names` has the names by id.
    pub fn name_networks(&mut self, names: &[(String, String)]) {
        for finding in &mut self.findings {
            for (id, name) in names {
                finding.what = finding.what.replace(id.as_str(), name);
            }
        }
    }

    /// Returns whether there are no problems, apart from repaired ones.
    pub fn is_clean(&self) -> bool {
        self.count(Level::Problem) == 0
    }

    /// Returns the report as one JSON object.
    pub fn json(&self) -> Value {
        let of = |level| -> Vec<_> {
            let findings = self.findings.iter();
            findings.filter(|found| found.level == level).collect()
        };
        json!({
            "clean": self.is_clean(),
            "problems": of(Level::Problem),
            "notes": of(Level::Note),
        })
    }

    /// Returns how many findings of a level are not repaired.
    fn count(&self, level: Level) -> usize {
        let open = |found: &&Finding| found.level == level && !found.repaired;
        self.findings.iter().filter(open).count()
    }
}

impl fmt::Display for Report {
    /// Writes one line for each finding, and one for the whole; every line ends with a
    /// newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let counted = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            _ => format!("{count} {word}s"),
        };
        let notes = counted(self.count(Level::Note), "note");
        match (self.count(Level::Problem), self.count(Level::Note)) {
            (0, 0) => writeln!(f, "clean"),
            (0, _) => writeln!(f, "clean, {notes}"),
            (problems, _) => writeln!(f, "{}, {notes}", counted(problems, "problem")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_lines_and_as_json() {
        let mut report = Report::default();
        assert_eq!(report.to_string(), "clean\n");
        report.add([Finding::note("timer", "no timer").repair("enable it")]);
        assert_eq!(
            report.to_string(),
            "note: no timer; enable it\nclean, 1 note\n"
        );
        let problem = Finding::problem("podman", "no podman")
            .because("not installed")
            .repair("install it");
        report.add([problem.clone()]);
        assert_eq!(
            report.to_string(),
            "note: no timer; enable it\nproblem: no podman (not installed); install it\n\
             1 problem, 1 note\n"
        );
        assert!(!report.is_clean());
        let mut repaired = Report::default();
        repaired.add([problem.repaired(true)]);
        assert!(repaired.is_clean());
        assert_eq!(
            repaired.to_string(),
            "repaired: no podman (not installed)\nclean\n"
        );
        assert_eq!(
            repaired.json(),
            json!({"clean": true, "notes": [], "problems": [{
                "check": "podman", "level": "problem", "what": "no podman",
                "cause": "not installed", "repair": "install it", "repaired": true,
            }]})
        );
    }
}
