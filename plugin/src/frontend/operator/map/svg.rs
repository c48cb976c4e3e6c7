//! The picture as SVG: light or dark like the reader's screen, and readable without
//! colours.

use std::fmt::Write as _;

use ipnetwork::IpNetwork;

use super::legend::{counts, meaning, number, scale, sign, summary};
use crate::text;
use crate::upkeep::overview::{Cell, Chart, Frame, Sheet, State};

/// How wide the cells of a row are together, as nearly as whole cells allow.
const WIDTH: u32 = 704;
/// The size of the largest and of the smallest cell, including the space after it.
const LARGEST: u32 = 36;
const SMALLEST: u32 = 11;
/// The margin around everything.
const MARGIN: u32 = 24;
/// The distance from one line of text to the next.
const LINE: u32 = 22;

/// A colour: what it is for, its value on a light screen, its value on a dark one.
type Colour = (&'static str, &'static str, &'static str);

/// All colours; the first is the paper.
const COLOURS: [Colour; 14] = [
    ("paper", "#ffffff", "#0d1117"),
    ("ink", "#1f2328", "#e6edf3"),
    ("pale", "#656d76", "#8b949e"),
    ("live", "#2da44e", "#2ea043"),
    ("offered", "#1b7c83", "#39c5cf"),
    ("unknown", "#d4a72c", "#d29922"),
    ("dead", "#cf222e", "#f85149"),
    ("elsewhere", "#a6d8b5", "#26593a"),
    ("cooldown", "#54aeff", "#388bfd"),
    ("held", "#80ccff", "#1f6feb"),
    ("reserved", "#8250df", "#a371f7"),
    ("gateway", "#424a53", "#b1bac4"),
    ("excluded", "#d0d7de", "#30363d"),
    ("free", "#eaeef2", "#21262d"),
];

/// Returns how large a picture may be: the smaller the subnet, the larger the cells.
pub(super) fn frame(subnet: IpNetwork) -> Frame {
    let columns = match (subnet, subnet.prefix()) {
        (IpNetwork::V4(_), 27..) => 16,
        (IpNetwork::V4(_), 24..) | (IpNetwork::V6(_), _) => 32,
        (IpNetwork::V4(_), _) => 64,
    };
    Frame { columns, rows: 32 }
}

/// Returns a document that stands alone, with all subnets of a network.
pub(super) fn picture(chart: &Chart, at: &str) -> String {
    let (body, width, height) = body(chart, at);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>Addresses of network {}</title>\n<style>\n{}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n{body}</svg>",
        escaped(&chart.network),
        style()
    )
}

/// Returns one subnet's cells and the legend, to be put into a page.
pub(super) fn inline(sheet: &Sheet) -> String {
    let mut drawing = Drawing::new(sheet, 0);
    drawing.cells(sheet, true);
    let (width, height) = (drawing.width(), drawing.y);
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\">\n{}</svg>",
        drawing.text
    )
}

/// Returns the rules for every class. They work without variables, which not every program
/// that shows SVG knows; a program that knows nothing of dark screens shows the light
/// colours.
pub(super) fn style() -> String {
    let marks = |paper| format!("text.mark {{ fill: {paper}; }}\n");
    let rules = |at: fn(&Colour) -> &'static str| {
        let rules = COLOURS.iter().map(|colour| {
            let (name, value) = (colour.0, at(colour));
            format!(".{name} {{ fill: {value}; }}\n")
        });
        rules.collect::<String>() + &marks(at(&COLOURS[0]))
    };
    format!(
        "text {{ font: 13px system-ui, sans-serif; }}\n\
         text.title {{ font-size: 18px; font-weight: 600; }}\n\
         text.mark {{ font: 600 11px ui-monospace, monospace; text-anchor: middle; \
         pointer-events: none; }}\n\
         text.address {{ font: 11px ui-monospace, monospace; text-anchor: end; }}\n{}\
         @media (prefers-color-scheme: dark) {{\n{}}}\n",
        rules(|colour| colour.1),
        rules(|colour| colour.2)
    )
}

/// Returns the colours as variables of a page.
pub(super) fn variables() -> String {
    let values = |at: fn(&Colour) -> &'static str| {
        let values = COLOURS.iter().map(|colour| {
            let (name, value) = (colour.0, at(colour));
            format!("--{name}: {value}; ")
        });
        values.collect::<String>()
    };
    format!(
        ":root {{ color-scheme: light dark; {}}}\n\
         @media (prefers-color-scheme: dark) {{ :root {{ {}}} }}\n",
        values(|colour| colour.1),
        values(|colour| colour.2)
    )
}

fn body(chart: &Chart, at: &str) -> (String, u32, u32) {
    let mut all = String::new();
    let (mut width, mut y) = (0, MARGIN);
    for sheet in &chart.subnets {
        let mut drawing = Drawing::new(sheet, y);
        drawing.y += 16;
        drawing.line(
            "title ink",
            &format!("{} on network {}", sheet.totals.subnet, chart.network),
        );
        let when = format!("{} · {at}", summary(&sheet.totals));
        drawing.line("pale", &when);
        drawing.cells(sheet, false);
        drawing.legend(sheet);
        width = width.max(drawing.width());
        y = drawing.y + MARGIN;
        all.push_str(&drawing.text);
    }
    if chart.subnets.is_empty() {
        let _ = write!(
            all,
            "<text class=\"ink\" x=\"24\" y=\"40\">no subnet</text>"
        );
    }
    (all, width.max(200), y.max(60))
}

/// A picture that is being drawn.
struct Drawing {
    text: String,
    label: u32,
    cell: u32,
    columns: u32,
    y: u32,
}

impl Drawing {
    fn new(sheet: &Sheet, y: u32) -> Self {
        let letters = sheet.rows.iter().map(|row| row.first.to_string().len());
        let letters = u32::try_from(letters.max().unwrap_or_default()).unwrap_or_default();
        Self {
            text: String::new(),
            label: MARGIN + letters * 7 + 10,
            cell: (WIDTH / sheet.columns).clamp(SMALLEST, LARGEST),
            columns: sheet.columns,
            y,
        }
    }

    /// Returns the width of the cells or of the texts, whichever is wider.
    fn width(&self) -> u32 {
        (self.label + self.columns * self.cell).max(620) + MARGIN
    }

    /// Returns whether cells are smaller than a letter.
    const fn is_small(&self) -> bool {
        self.cell < 16
    }

    fn line(&mut self, class: &str, text: &str) {
        let (y, text) = (self.y, escaped(text));
        let _ = writeln!(
            self.text,
            "<text class=\"{class}\" x=\"{MARGIN}\" y=\"{y}\">{text}</text>"
        );
        self.y += LINE;
    }

    /// Draws the cells; `linked` ones lead to the rows of a table.
    fn cells(&mut self, sheet: &Sheet, linked: bool) {
        let size = self.cell - if self.is_small() { 2 } else { 3 };
        self.y += if linked { 2 } else { 0 };
        // Rows that are lower than a line of text cannot each have a label.
        let every = if self.is_small() { 4 } else { 1 };
        let mut since = 0;
        for row in &sheet.rows {
            if row.follows_gap {
                since = 0;
                let (x, y) = (self.label + self.cell / 2, self.y + 11);
                let _ = writeln!(
                    self.text,
                    "<text class=\"pale\" x=\"{x}\" y=\"{y}\">⋮</text>"
                );
                self.y += LINE - 4;
            }
            if since % every == 0 {
                let (x, y) = (self.label - 8, self.y + self.cell / 2 + 3);
                let first = row.first;
                let _ = writeln!(
                    self.text,
                    "<text class=\"pale address\" x=\"{x}\" y=\"{y}\">{first}</text>"
                );
            }
            since += 1;
            for (at, cell) in row.cells.iter().enumerate() {
                let x = self.label + u32::try_from(at).unwrap_or_default() * self.cell;
                self.cell(cell, sheet, x, size, linked);
            }
            self.y += self.cell;
        }
        self.y += LINE;
    }

    fn cell(&mut self, cell: &Cell, sheet: &Sheet, x: u32, size: u32, linked: bool) {
        let y = self.y;
        let state = cell.state;
        let is_block = scale(sheet).is_some();
        let round = (size / 6).max(2);
        // The fuller a block, the stronger its colour, but never too pale to be seen.
        let shade = match state {
            State::Live if is_block => format!(" fill-opacity=\"{:.2}\"", 0.45 + 0.55 * cell.share),
            _ => String::new(),
        };
        let link = linked && !cell.who.is_empty();
        if link {
            let _ = write!(self.text, "<a href=\"#{}\">", cell.first);
        }
        let _ = write!(
            self.text,
            "<rect class=\"{state}\" x=\"{x}\" y=\"{y}\" width=\"{size}\" height=\"{size}\" \
             rx=\"{round}\"{shade}><title>{}</title></rect>",
            escaped(&told(cell))
        );
        if is_marked(state) && !self.is_small() {
            let (x, y) = (x + size / 2, y + size / 2 + 4);
            let _ = write!(
                self.text,
                "<text class=\"mark\" x=\"{x}\" y=\"{y}\">{}</text>",
                sign(state)
            );
        }
        self.text.push_str(if link { "</a>\n" } else { "\n" });
    }

    fn legend(&mut self, sheet: &Sheet) {
        let mut x = MARGIN;
        self.y += 2;
        for (state, count) in counts(&sheet.totals) {
            let words = format!("{} {}", number(count), meaning(state));
            let width = 26 + u32::try_from(words.len()).unwrap_or_default() * 7 + 10;
            if x + width > self.width() - MARGIN {
                x = MARGIN;
                self.y += LINE;
            }
            let (top, base) = (self.y - 12, self.y);
            let _ = writeln!(
                self.text,
                "<rect class=\"{state}\" x=\"{x}\" y=\"{top}\" width=\"14\" height=\"14\" rx=\"3\"/>"
            );
            if is_marked(state) {
                let _ = writeln!(
                    self.text,
                    "<text class=\"mark\" x=\"{}\" y=\"{}\">{}</text>",
                    x + 7,
                    base - 1,
                    sign(state)
                );
            }
            let _ = writeln!(
                self.text,
                "<text class=\"ink\" x=\"{}\" y=\"{base}\">{words}</text>",
                x + 20
            );
            x += width;
        }
        self.y += LINE;
        if let Some(scale) = scale(sheet) {
            self.line(
                "pale",
                &format!("{scale}; the stronger the green, the more of them are leased"),
            );
        }
    }
}

/// Returns whether a state's sign is printed on its colour, so that nobody has to tell the
/// colours apart.
const fn is_marked(state: State) -> bool {
    match state {
        State::Unknown | State::Dead | State::Reserved | State::Gateway => true,
        State::Live
        | State::Offered
        | State::Elsewhere
        | State::Cooldown
        | State::Held
        | State::Excluded
        | State::Free => false,
    }
}

/// Returns the text that appears when the reader points at a cell.
fn told(cell: &Cell) -> String {
    if cell.first == cell.last {
        let who = cell.who.first().cloned();
        return who.unwrap_or_else(|| format!("{} {}", cell.first, meaning(cell.state)));
    }
    let mut lines = vec![format!("{} to {}", cell.first, cell.last)];
    lines.extend(cell.who.iter().cloned());
    match (cell.who.is_empty(), cell.more) {
        (true, _) => lines.push(meaning(cell.state).to_owned()),
        (false, 0) => {}
        (false, more) => lines.push(format!("and {more} more")),
    }
    lines.join("\n")
}

/// Returns a text, escaped for XML.
pub(super) fn escaped(text: &str) -> String {
    let text = text::lines(text);
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::super::legend::STATES;
    use super::super::terminal::tests::overview;
    use super::*;

    fn drawn(subnet: &str, leased: &[&str]) -> String {
        let overview = overview(subnet, leased);
        let network = &overview.networks[0];
        let chart = Chart::of(network, &overview.entries(true), frame);
        picture(&chart, "now")
    }

    #[test]
    fn every_address_is_there_and_says_whose_it_is() {
        let subnet = r#"{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}"#;
        let text = drawn(subnet, &["10.0.0.2", "10.0.0.3"]);
        assert_eq!(text.matches("</title></rect>").count(), 256);
        for said in [
            "<title>10.0.0.2 live web</title>",
            "<title>10.0.0.3 dead web</title>",
            "<title>10.0.0.9 reserved (&lt;the printer&gt;)</title>",
            "<title>10.0.0.1 gateway</title>",
            "<title>10.0.0.77 free</title>",
        ] {
            assert!(text.contains(said), "{said}");
        }
        assert!(!text.contains("<the printer>"));
        assert!(text.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn every_state_has_a_colour() {
        let style = style();
        for state in STATES {
            assert!(style.contains(&format!(".{state} {{ fill")), "{state}");
        }
    }

    #[test]
    fn blocks_say_who_is_in_them() {
        let leased: Vec<_> = (2..30).map(|at| format!("10.0.0.{at}")).collect();
        let leased: Vec<_> = leased.iter().map(String::as_str).collect();
        let text = drawn(r#"{"subnet": "10.0.0.0/8"}"#, &leased);
        assert_eq!(text.matches("</title></rect>").count(), 2048);
        assert!(text.contains("<title>10.0.0.0 to 10.0.31.255\n10.0.0.2 live web\n"));
        assert!(text.contains("\nand 20 more</title>"));
    }
}
