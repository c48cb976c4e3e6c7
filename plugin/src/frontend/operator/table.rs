//! Tables as podman prints them: columns without lines, headings in capitals.

use std::env;
use std::io::{self, IsTerminal};

use anstyle::AnsiColor;
use unicode_width::UnicodeWidthStr;

use crate::text;

/// Returns whether to use colour on standard output: on a terminal that supports it,
/// unless `NO_COLOR` says otherwise (no-color.org).
pub(super) fn wants_colour() -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// A text and its colour, if it has one.
type Cell = (String, Option<AnsiColor>);

/// Returns a cell without colour.
pub(super) fn plain(text: impl Into<String>) -> Cell {
    (text.into(), None)
}

/// A table that is being filled.
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
    coloured: bool,
}

impl Table {
    /// Begins a table with these headings, if any.
    pub(super) fn new(headings: Option<&[&str]>, coloured: bool) -> Self {
        let headings = headings.map(|headings| headings.iter().copied().map(plain).collect());
        Self {
            rows: headings.into_iter().collect(),
            coloured,
        }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells = cells.into_iter();
        let cells = cells.map(|(text, colour)| (text::foreign(&text), colour));
        self.rows.push(cells.collect());
    }

    /// Returns its lines. Columns are as wide as their widest text, and two spaces apart.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut widths = Vec::new();
        for (column, (text, _)) in self.rows.iter().flat_map(|row| row.iter().enumerate()) {
            if widths.len() <= column {
                widths.resize(column + 1, 0);
            }
            widths[column] = text.width().max(widths[column]);
        }
        let line = |row: &Vec<Cell>| {
            let mut line = String::new();
            let mut gap = 0;
            for ((text, colour), width) in row.iter().zip(&widths) {
                // No trailing spaces.
                if !text.is_empty() {
                    line.extend(std::iter::repeat_n(' ', gap));
                    gap = 0;
                    match colour.filter(|_| self.coloured) {
                        Some(colour) => {
                            let style = colour.on_default();
                            line.push_str(&format!("{style}{text}{style:#}"));
                        }
                        None => line.push_str(text),
                    }
                }
                gap += width - text.width() + 2;
            }
            line
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(headings: Option<&[&str]>, coloured: bool) -> Vec<String> {
        let mut table = Table::new(headings, coloured);
        table.row([("10.0.0.10".to_owned(), None), ("live".to_owned(), None)]);
        let dead = ("dead".to_owned(), Some(AnsiColor::Red));
        table.row([("10.0.0.9".to_owned(), None), dead]);
        table.lines()
    }

    #[test]
    fn columns_stand_two_spaces_apart() {
        let headings: &[&str] = &["ADDRESS", "STATE"];
        let rows = ["10.0.0.10  live", "10.0.0.9   dead"];
        assert_eq!(table(None, false), rows);
        assert_eq!(
            table(Some(headings), false),
            ["ADDRESS    STATE", rows[0], rows[1]]
        );
    }

    #[test]
    fn texts_are_as_wide_as_they_look() {
        let mut table = Table::new(None, false);
        for (first, second) in [("größe", "a"), ("东京", ""), ("", "b")] {
            table.row([(first.to_owned(), None), (second.to_owned(), None)]);
        }
        assert_eq!(table.lines(), ["größe  a", "东京", "       b"]);
    }

    #[test]
    fn colour_is_there_only_if_it_is_wanted() {
        let line = &table(None, true)[1];
        assert!(line.contains("\u{1b}["), "{line:?}");
    }
}
