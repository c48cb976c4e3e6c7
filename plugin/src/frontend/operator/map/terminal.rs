//! The picture in a terminal.

use std::env;

use terminal_size::{Width, terminal_size};

use super::legend::{counts, meaning, number, scale, sign, style, summary};
use crate::protocol::Network;
use crate::rules::pool::last_address;
use crate::text;
use crate::upkeep::overview::{Cell, Chart, Frame, Row, Sheet, State};

/// The width if it is not known.
const WIDTH: usize = 80;

/// Rows of one subnet: together with the legend, they fill a screen.
const ROWS: u32 = 16;

/// Cells of one group. A space follows each group.
const GROUP: usize = 8;

/// The terminal that the picture is for.
pub(super) struct Screen {
    coloured: bool,
    /// The room for the addresses to the left of the rows.
    label: usize,
    columns: u32,
    /// Whether there is room for a space after each cell.
    wide: bool,
}

impl Screen {
    /// Returns the terminal on standard output. If that is no terminal, `COLUMNS` gives the
    /// width.
    pub(super) fn here(network: &Network, coloured: bool) -> Self {
        let told = || env::var("COLUMNS").ok()?.parse().ok();
        let width = terminal_size().map(|(Width(width), _)| usize::from(width));
        Self::of(network, coloured, width.or_else(told).unwrap_or(WIDTH))
    }

    fn of(network: &Network, coloured: bool, width: usize) -> Self {
        // In an IPv6 subnet, the addresses of clusters may be much longer than the subnet's
        // own.
        let letters = network.subnets.iter().map(|subnet| {
            let last = last_address(subnet.subnet).to_string().len();
            match subnet.subnet.is_ipv6() {
                true => last.min(subnet.subnet.network().to_string().len() + 12),
                false => last,
            }
        });
        let label = letters.max().unwrap_or_default() + 2;
        let room = width.saturating_sub(label);
        let groups = |cells: usize| cells.div_ceil(GROUP) - 1;
        let columns = [64, 32, 16, 8].into_iter();
        let mut fitting = columns.filter(|cells| cells + groups(*cells) <= room);
        let columns = fitting.next().unwrap_or(GROUP);
        Self {
            coloured,
            label,
            wide: 2 * columns + groups(columns) <= room,
            columns: u32::try_from(columns).unwrap_or(8),
        }
    }

    /// Returns how large a picture may be.
    pub(super) const fn frame(&self) -> Frame {
        Frame {
            columns: self.columns,
            rows: ROWS,
        }
    }

    /// Returns the lines of a picture.
    pub(super) fn draw(&self, chart: &Chart) -> String {
        let network = text::foreign(&chart.network);
        let sheets = chart.subnets.iter().map(|sheet| {
            let mut lines = vec![
                self.styled(
                    State::Gateway,
                    &format!("{} on network {network}", sheet.totals.subnet),
                ),
                String::new(),
            ];
            let labels = sheet.rows.iter().map(|row| row.first.to_string().len() + 2);
            let label = labels.max().unwrap_or_default();
            for row in &sheet.rows {
                if row.follows_gap {
                    lines.push(self.styled(State::Free, &format!("{:>1$}", "⋮", label - 1)));
                }
                lines.push(self.row(row, label, sheet));
            }
            lines.push(String::new());
            lines.extend(self.legend(sheet));
            lines.push(summary(&sheet.totals));
            lines.join("\n")
        });
        match chart.subnets.is_empty() {
            true => format!("network {network} has no subnet to lease from"),
            false => sheets.collect::<Vec<_>>().join("\n\n"),
        }
    }

    fn row(&self, row: &Row, label: usize, sheet: &Sheet) -> String {
        let first = row.first.to_string();
        let mut line = self.styled(State::Free, &format!("{first:<label$}"));
        // Adjacent cells of one state are coloured together.
        let mut run = String::new();
        for (at, cell) in row.cells.iter().enumerate() {
            run.push(glyph(cell, sheet));
            let next = row.cells.get(at + 1);
            if next.is_some() && self.wide {
                run.push(' ');
            }
            if next.is_some() && (at + 1) % GROUP == 0 {
                run.push(' ');
            }
            if next.is_none_or(|next| next.state != cell.state) {
                line.push_str(&self.styled(cell.state, &run));
                run.clear();
            }
        }
        line
    }

    /// Returns the legend, in as many lines as it takes.
    fn legend(&self, sheet: &Sheet) -> Vec<String> {
        let width = self.label + self.columns as usize * 2;
        let (mut lines, mut used) = (vec![String::new()], 0);
        for (state, count) in counts(&sheet.totals) {
            let sign = self.styled(state, &sign(state).to_string());
            let words = format!("{} {}", number(count), meaning(state));
            let length = words.chars().count() + 5;
            if used > 0 && used + length > width.max(60) {
                lines.push(String::new());
                used = 0;
            }
            used += length;
            if let Some(line) = lines.last_mut() {
                let gap = if line.is_empty() { "" } else { "   " };
                line.push_str(&format!("{gap}{sign} {words}"));
            }
        }
        if let Some(scale) = scale(sheet) {
            let shades = self.styled(State::Live, "░▒▓█");
            lines.push(format!(
                "{scale}; {shades} says how many of them are leased"
            ));
        }
        lines
    }

    fn styled(&self, state: State, text: &str) -> String {
        match self.coloured {
            true => {
                let style = style(state);
                format!("{style}{text}{style:#}")
            }
            false => text.to_owned(),
        }
    }
}

/// Returns the sign for a cell. That of a block shows how much of the block is leased.
fn glyph(cell: &Cell, sheet: &Sheet) -> char {
    let is_block = scale(sheet).is_some();
    match cell.state {
        State::Live if is_block => match cell.share {
            share if share <= 0.25 => '░',
            share if share <= 0.5 => '▒',
            share if share <= 0.75 => '▓',
            _ => '█',
        },
        state => sign(state),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rules::lease::{Kind, LeasedAddress, Tenancy, fixture};
    use crate::rules::verdict::{Cause, Sign, Verdict};
    use crate::sight::Evidence;
    use crate::upkeep::overview::Overview;
    use crate::upkeep::overview::Shares;

    /// Returns a network, and an overview in which the last of these addresses belongs to a
    /// ghost.
    pub(crate) fn overview(subnet: &str, leased: &[&str]) -> Overview {
        let network = format!(
            r#"{{"name": "web", "id": "net", "driver": "berth",
                "options": {{"ipam_reserve": "10.0.0.9 # <the printer>"}}, "subnets": [{subnet}]}}"#
        );
        let mut network: Network = serde_json::from_str(&network).expect("a network");
        if !subnet.contains("10.0.0.0/24") {
            network.options.clear();
        }
        let holders = leased.iter().enumerate().map(|(at, address)| {
            let tenancy = Tenancy {
                network_id: "net".into(),
                container_id: "1f2e3d4c5b6a".into(),
                interface: format!("eth{at}").as_str().into(),
            };
            let leased_address = LeasedAddress {
                address: address.parse().expect("an address"),
                generation: 1,
                kind: Kind::Dynamic,
            };
            let verdict = match at + 1 == leased.len() {
                true => Verdict::Dead(Cause::NamespaceGone),
                false => Verdict::Live(Sign::Starting { pid: 1 }),
            };
            (fixture(tenancy, vec![leased_address]), verdict)
        });
        Overview {
            networks: vec![network],
            holders: holders.collect(),
            reservations: Vec::new(),
            evidence: Evidence {
                boot_id: "boot".to_owned(),
                ..Evidence::default()
            },
            collection: None,
            shares: Shares::default(),
        }
    }

    fn drawn(subnet: &str, leased: &[&str], width: usize, coloured: bool) -> String {
        let overview = overview(subnet, leased);
        let network = &overview.networks[0];
        let screen = Screen::of(network, coloured, width);
        screen.draw(&Chart::of(network, &overview.entries(true), |_| {
            screen.frame()
        }))
    }

    #[test]
    fn a_subnet_is_drawn_address_by_address() {
        let subnet = r#"{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1",
            "lease_range": {"end_ip": "10.0.0.191"}}"#;
        assert_eq!(
            drawn(subnet, &["10.0.0.2", "10.0.0.3", "10.0.0.130"], 90, false),
            "\
10.0.0.0/24 on network web

10.0.0.0    -G██···· ·R······ ········ ········ ········ ········ ········ ········
10.0.0.64   ········ ········ ········ ········ ········ ········ ········ ········
10.0.0.128  ··×····· ········ ········ ········ ········ ········ ········ ········
10.0.0.192  -------- -------- -------- -------- -------- -------- -------- --------

█ 2 live   × 1 dead   R 1 reserved   G 1 gateway   - 65 excluded   · 186 free
256 addresses, 189 to lease: 3 leased (2%), 186 free"
        );
    }

    #[test]
    fn it_is_as_wide_as_the_terminal() {
        let subnet = r#"{"subnet": "10.0.0.0/26", "gateway": "10.0.0.1"}"#;
        let widths = [30, 60, 90, 200].map(|width| {
            let text = drawn(subnet, &["10.0.0.2"], width, false);
            let widest = text.lines().filter(|line| line.starts_with("10.0.0.0 "));
            widest.map(|line| line.chars().count()).max()
        });
        assert_eq!(widths, [Some(28), Some(46), Some(81), Some(144)]);
    }

    #[test]
    fn blocks_are_shaded() {
        let leased: Vec<_> = (0..80).map(|at| format!("10.0.0.{at}")).collect();
        let leased: Vec<_> = leased.iter().map(String::as_str).collect();
        let text = drawn(r#"{"subnet": "10.0.0.0/16"}"#, &leased, 90, false);
        assert!(text.contains("\n10.0.0.0    █×······ "), "{text}");
        assert!(
            text.contains(
                "\none cell is a /26: 64 addresses; ░▒▓█ says how many of them are leased\n"
            ),
            "{text}"
        );
        assert_eq!(text.lines().count(), 16 + 6);
    }

    #[test]
    fn gaps_between_clusters_are_marked() {
        let subnet = r#"{"subnet": "fd00::/64", "gateway": "fd00::1"}"#;
        let text = drawn(subnet, &["fd00::2", "fd00::abcd:1"], 100, false);
        let lines: Vec<_> = text.lines().skip(2).take(3).collect();
        assert!(lines[0].starts_with("fd00::    "), "{text}");
        assert_eq!(lines[1].trim(), "⋮");
        assert!(lines[2].starts_with("fd00::abcd:0 "), "{text}");
        assert!(text.ends_with(
            "2^64 or more addresses, about 2^64 to lease: 2 leased (0%), about 2^64 free"
        ));
    }

    #[test]
    fn colour_is_there_only_if_it_is_wanted() {
        let subnet = r#"{"subnet": "10.0.0.0/24"}"#;
        assert!(drawn(subnet, &["10.0.0.2"], 90, true).contains("\u{1b}[1m\u{1b}[31m×"));
        assert!(!drawn(subnet, &["10.0.0.2"], 90, false).contains('\u{1b}'));
    }
}
