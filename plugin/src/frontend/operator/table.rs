//! Tables as podman prints them: columns without lines, the heading in capitals.

use std::env;
use std::io::{self, IsTerminal};

use comfy_table::{Cell, Color, Table as Layout, presets};

use crate::text;

/// Returns whether to use colour on standard output: on a terminal that knows it, unless
/// `NO_COLOR` says otherwise (no-color.org).
pub(super) fn wants_colour() -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// A table under way.
pub(super) struct Table {
    layout: Layout,
    coloured: bool,
}

impl Table {
    /// Begins a table with these headings, if it is to have any.
    pub(super) fn new(headings: Option<&[&str]>, coloured: bool) -> Self {
        let mut layout = Layout::new();
        layout.load_preset(presets::NOTHING);
        if coloured {
            layout.enforce_styling();
        } else {
            layout.force_no_tty();
        }
        if let Some(headings) = headings {
            layout.add_row(headings.iter().map(|text| Cell::new(*text)));
        }
        Self { layout, coloured }
    }

    /// Adds a row of texts, each with its colour if it has one.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = (String, Option<Color>)>) {
        let coloured = self.coloured;
        let cell = |(text, colour): (String, Option<Color>)| {
            let cell = Cell::new(text::foreign(&text));
            match colour.filter(|_| coloured) {
                Some(colour) => cell.fg(colour),
                None => cell,
            }
        };
        self.layout.add_row(cells.into_iter().map(cell));
    }

    /// Returns its lines.
    pub(super) fn lines(mut self) -> Vec<String> {
        for column in self.layout.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines = self.layout.lines();
        lines.map(|line| line.trim_end().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(headings: Option<&[&str]>, coloured: bool) -> Vec<String> {
        let mut table = Table::new(headings, coloured);
        table.row([("10.0.0.10".to_owned(), None), ("live".to_owned(), None)]);
        let dead = ("dead".to_owned(), Some(Color::Red));
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
    fn colour_is_there_only_if_it_is_wanted() {
        let line = &table(None, true)[1];
        assert!(line.contains("\u{1b}["), "{line:?}");
    }
}
