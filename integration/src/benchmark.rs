//! What the benchmarks have in common: which rows they run, and how they end.

use std::process::ExitCode;

/// Returns the value in the middle; of an even number of values, the upper of two.
///
/// # Panics
/// If there are none, or one of them is not a number.
pub fn median<T: PartialOrd + Copy>(values: impl IntoIterator<Item = T>) -> T {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_by(|one, other| one.partial_cmp(other).expect("a number"));
    values[values.len() / 2]
}

/// A run of a benchmark.
#[derive(Debug)]
pub struct Benchmark {
    words: Vec<String>,
    is_measured: bool,
    rows: Vec<String>,
    has_run: bool,
    missed: Vec<String>,
}

impl Benchmark {
    /// Begins a run. Words on the command line choose among the rows.
    pub fn begin() -> Self {
        let (flags, words): (Vec<_>, Vec<_>) = std::env::args()
            .skip(1)
            .partition(|argument| argument.starts_with("--"));
        Self {
            words,
            // `cargo test --benches` runs benchmarks too, to see that they do.
            is_measured: flags.contains(&"--bench".to_owned()),
            rows: Vec::new(),
            has_run: false,
            missed: Vec::new(),
        }
    }

    /// Returns how many rounds count: `rounds`, or `few` if nobody wants the figures.
    pub fn rounds(&self, rounds: usize, few: usize) -> usize {
        if self.is_measured { rounds } else { few }
    }

    /// Returns whether a row is among those to run: its name has all the words.
    pub fn runs(&mut self, row: &str) -> bool {
        let runs = self.words.iter().all(|word| row.contains(word));
        self.rows.push(row.to_owned());
        self.has_run |= runs;
        runs
    }

    /// Notes that a target was missed.
    pub fn miss(&mut self, what: impl Into<String>) {
        self.missed.push(what.into());
    }

    /// Ends the run, and says what was missed. It has failed if anything was, or if the words
    /// chose nothing.
    #[allow(
        clippy::print_stdout,
        reason = "standard output is what a benchmark is for"
    )]
    pub fn end(self) -> ExitCode {
        if !self.rows.is_empty() && !self.has_run {
            let (words, rows) = (self.words.join(" "), self.rows.join("\n    "));
            eprintln!("no row has all the words of `{words}`; the rows are:\n    {rows}");
            return ExitCode::FAILURE;
        }
        if self.missed.is_empty() || !self.is_measured {
            return ExitCode::SUCCESS;
        }
        println!("missed: {}", self.missed.join("; "));
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_others_are_below_the_median() {
        assert_eq!(median([9, 1, 5]), 5);
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), 3.0);
    }
}
