//! A network's subnets as rows of cells, for a picture. No I/O.
//!
//! A cell is one address, or a block of as many as it takes to fit the subnet into the
//! frame. In a large IPv6 subnet such blocks would be too large, so only rows with
//! something in them are drawn: the subnet's clusters.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Serialize;

use super::totals::{Totals, pools};
use super::{Entry, State};
use crate::protocol::Network;
use crate::rules::pool::{Family, Pool, number};

/// How many of a cell's addresses are described one by one.
const TOLD: usize = 8;

/// How large a picture may be.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Cells in a row, a power of two.
    pub columns: u32,
    /// Rows of one subnet.
    pub rows: u32,
}

/// A network as a picture.
#[derive(Clone, Debug, Serialize)]
pub struct Chart {
    pub network: String,
    pub subnets: Vec<Sheet>,
}

/// One subnet of a network.
#[derive(Clone, Debug, Serialize)]
pub struct Sheet {
    #[serde(flatten)]
    pub totals: Totals,
    /// A cell is a subnet of this length: 32 (IPv4) or 128 (IPv6) for one address.
    pub cell_prefix: u32,
    /// Cells in a row.
    pub columns: u32,
    pub rows: Vec<Row>,
}

/// A row of cells.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The first address of its first cell.
    pub first: IpAddr,
    /// Whether rows with nothing in them were left out before it.
    pub follows_gap: bool,
    pub cells: Vec<Cell>,
}

/// One address, or a block of them.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    pub first: IpAddr,
    pub last: IpAddr,
    /// What the address is; for a block, what matters most in it.
    pub state: State,
    /// How many of its addresses are leased.
    pub leased: u64,
    /// How much of it is leased, from 0 to 1.
    #[serde(skip)]
    pub share: f32,
    /// Who has or had its addresses, one by one.
    pub who: Vec<String>,
    /// How many are not described.
    pub more: usize,
}

impl Chart {
    /// Draws a network's subnets, each into its frame.
    pub fn of(network: &Network, entries: &[Entry], frame: impl Fn(IpNetwork) -> Frame) -> Self {
        let own = entries
            .iter()
            .filter(|entry| entry.network_id == network.id);
        let own: Vec<_> = own.cloned().collect();
        let pools = pools(network);
        let sheets = pools
            .iter()
            .map(|pool| Sheet::of(pool, &own, frame(pool.subnet())));
        Self {
            network: network.name.clone(),
            subnets: sheets.collect(),
        }
    }
}

impl Sheet {
    fn of(pool: &Pool, entries: &[Entry], frame: Frame) -> Self {
        let subnet = pool.subnet();
        let base = number(subnet.network());
        let width = match pool.family() {
            Family::V4 => 32,
            Family::V6 => 128,
        };
        let host_bits = width - u32::from(subnet.prefix());
        let column_bits = frame.columns.max(1).ilog2().min(host_bits);
        let inside = |entry: &&Entry| {
            entry.state != State::Excluded && subnet.contains(entry.address.0.first())
        };
        let marks: Vec<_> = entries.iter().filter(inside).collect();
        let mut taken: BTreeSet<_> = marks
            .iter()
            .map(|entry| number(entry.address.0.first()) - base)
            .collect();
        taken.extend(pool.gateway().map(|gateway| number(gateway) - base));
        let row_bits = frame.rows.max(1).ilog2();
        let rest = host_bits - column_bits;
        let is_dense = rest <= row_bits || pool.family() == Family::V4;
        let cell_bits = if is_dense {
            rest.saturating_sub(row_bits)
        } else {
            sparse_bits(&taken, column_bits, rest, frame.rows)
        };
        let drawer = Drawer {
            pool,
            marks: by_cell(&marks, base, cell_bits),
            base,
            cell_bits,
            column_bits,
        };
        let size = cell_bits + column_bits;
        let rows: Vec<_> = if is_dense {
            (0..1_u128 << (host_bits - size)).collect()
        } else {
            let rows: BTreeSet<_> = taken.iter().map(|at| shifted(*at, size)).collect();
            rows.into_iter().collect()
        };
        let before = |at: usize| at.checked_sub(1).map(|at| rows[at]);
        Self {
            totals: Totals::of(pool, entries),
            cell_prefix: width - cell_bits,
            columns: 1 << column_bits,
            rows: rows
                .iter()
                .enumerate()
                .map(|(at, row)| drawer.row(*row, before(at)))
                .collect(),
        }
    }
}

/// Returns how many bits a cell must have so that everything fits into at most this many
/// rows.
fn sparse_bits(taken: &BTreeSet<u128>, column_bits: u32, most: u32, rows: u32) -> u32 {
    let fits = |bits: &u32| {
        let mut rows_of: Vec<_> = taken
            .iter()
            .map(|at| shifted(*at, bits + column_bits))
            .collect();
        rows_of.dedup();
        rows_of.len() <= rows as usize
    };
    (0..most).find(fits).unwrap_or(most)
}

/// Returns a number without its last bits. There may be as many of them as an IPv6 address
/// has.
fn shifted(number: u128, bits: u32) -> u128 {
    number.checked_shr(bits).unwrap_or(0)
}

fn by_cell<'e>(marks: &[&'e Entry], base: u128, cell_bits: u32) -> HashMap<u128, Vec<&'e Entry>> {
    let mut cells = HashMap::<_, Vec<_>>::new();
    for entry in marks {
        let at = number(entry.address.0.first()) - base;
        cells
            .entry(shifted(at, cell_bits))
            .or_default()
            .push(*entry);
    }
    cells
}

/// What is needed to draw a row.
struct Drawer<'p> {
    pool: &'p Pool,
    marks: HashMap<u128, Vec<&'p Entry>>,
    /// The subnet's first address.
    base: u128,
    cell_bits: u32,
    column_bits: u32,
}

impl Drawer<'_> {
    fn row(&self, row: u128, before: Option<u128>) -> Row {
        let columns = 1_u128 << self.column_bits;
        let cells: Vec<_> = (0..columns)
            .map(|at| self.cell(row * columns + at))
            .collect();
        Row {
            first: cells[0].first,
            follows_gap: before.map_or(row > 0, |before| row > before + 1),
            cells,
        }
    }

    fn cell(&self, index: u128) -> Cell {
        let family = self.pool.family();
        let first = self.base + (index << self.cell_bits);
        let last = first + ((1_u128 << self.cell_bits) - 1);
        let none = Vec::new();
        let marks = self.marks.get(&index).unwrap_or(&none);
        let leased = marks.iter().filter(|entry| entry.state.is_leased()).count();
        let who = marks.iter().take(TOLD).map(|entry| line(entry));
        Cell {
            first: family.address(first),
            last: family.address(last),
            state: self.state(first, last, marks),
            leased: leased as u64,
            share: share(leased, self.cell_bits),
            who: who.collect(),
            more: marks.len().saturating_sub(TOLD),
        }
    }

    /// Returns the state that matters most: trouble before order, and addresses that are
    /// in use or reserved before those that are not.
    fn state(&self, first: u128, last: u128, marks: &[&Entry]) -> State {
        const ORDER: [State; 8] = [
            State::Dead,
            State::Unknown,
            State::Offered,
            State::Live,
            State::Elsewhere,
            State::Cooldown,
            State::Held,
            State::Reserved,
        ];
        let mut order = ORDER.into_iter();
        let found = order.find(|state| marks.iter().any(|entry| entry.state == *state));
        let is_in = |address: IpAddr| (first..=last).contains(&number(address));
        match found {
            Some(state) => state,
            None if self.pool.gateway().is_some_and(is_in) => State::Gateway,
            None if self.offers(first, last) => State::Free,
            None => State::Excluded,
        }
    }

    /// Returns whether the pool offers an address between two others, ends included.
    fn offers(&self, first: u128, last: u128) -> bool {
        let spans = self.pool.spans();
        let at = spans.partition_point(|span| number(span.last()) < first);
        spans
            .get(at)
            .is_some_and(|span| number(span.first()) <= last)
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is for shades of a colour")]
fn share(leased: usize, cell_bits: u32) -> f32 {
    leased as f32 / 2_f32.powi(cell_bits.cast_signed())
}

fn line(entry: &Entry) -> String {
    let Entry {
        address,
        state,
        container_name,
        comment,
        host,
        ..
    } = entry;
    let text = match state {
        State::Elsewhere => format!("{address} on host {host}"),
        _ => format!("{address} {state}"),
    };
    match (container_name.as_str(), comment.as_str()) {
        ("", "") => text,
        ("", comment) => format!("{text} ({comment})"),
        (name, "") => format!("{text} {name}"),
        (name, comment) => format!("{text} {name} ({comment})"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::entry::tests::{entry, tenant};
    use super::super::totals::whole;
    use super::*;
    use crate::rules::verdict::{Cause, Sign, Verdict};

    const FRAME: Frame = Frame {
        columns: 64,
        rows: 32,
    };

    fn sheet(subnet: &str, options: &str, leased: &[&str]) -> Sheet {
        let network = format!(
            r#"{{"name": "n", "id": "net", "driver": "berth", "options": {{{options}}},
                "subnets": [{subnet}]}}"#
        );
        let network: Network = serde_json::from_str(&network).expect("a network");
        let live = Verdict::Live(Sign::Starting { pid: 4 });
        let of = |address: &&str| entry(&tenant(address), &live, Duration::ZERO);
        let entries: Vec<_> = leased.iter().map(of).collect();
        let mut chart = Chart::of(&network, &entries, |_| FRAME);
        chart.subnets.remove(0)
    }

    fn shape(sheet: &Sheet) -> (usize, u32, u32) {
        (sheet.rows.len(), sheet.columns, sheet.cell_prefix)
    }

    #[test]
    fn every_subnet_fits_into_the_frame() {
        let check = |subnet: &str, expected| {
            let sheet = sheet(&format!(r#"{{"subnet": "{subnet}"}}"#), "", &[]);
            assert_eq!(shape(&sheet), expected, "{subnet}");
            let cells = sheet.rows.iter().map(|row| row.cells.len() as u128);
            let drawn = cells.sum::<u128>() << (32 - sheet.cell_prefix);
            assert_eq!(drawn, whole(sheet.totals.subnet).len(), "{subnet}");
            let last = sheet.rows.last().and_then(|row| row.cells.last());
            assert_eq!(
                last.map(|cell| cell.last),
                Some(crate::rules::pool::last_address(sheet.totals.subnet))
            );
        };
        check("10.0.0.0/32", (1, 1, 32));
        check("10.0.0.8/29", (1, 8, 32));
        check("10.0.0.0/24", (4, 64, 32));
        check("10.0.0.0/21", (32, 64, 32));
        check("10.0.0.0/20", (32, 64, 31));
        check("10.0.0.0/16", (32, 64, 27));
        check("10.0.0.0/8", (32, 64, 19));
    }

    #[test]
    fn a_cell_is_what_matters_most() {
        let subnet = r#"{"subnet": "10.0.0.0/29", "gateway": "10.0.0.1"}"#;
        let options = r#""ipam_exclude": "10.0.0.4""#;
        let sheet = sheet(subnet, options, &["10.0.0.2"]);
        let states: Vec<_> = sheet.rows[0].cells.iter().map(|cell| cell.state).collect();
        let [free, excluded] = [State::Free, State::Excluded];
        assert_eq!(
            states,
            [
                excluded,
                State::Gateway,
                State::Live,
                free,
                excluded,
                free,
                free,
                excluded
            ]
        );
        assert_eq!(sheet.rows[0].cells[2].who, ["10.0.0.2 live web"]);
    }

    #[test]
    fn a_block_tells_what_is_wrong_in_it_and_how_much_is_leased() {
        let network = r#"{"name": "n", "id": "net", "driver": "berth",
            "subnets": [{"subnet": "10.0.0.0/16"}]}"#;
        let network: Network = serde_json::from_str(network).expect("a network");
        let live = Verdict::Live(Sign::Starting { pid: 4 });
        let dead = Verdict::Dead(Cause::NamespaceGone);
        let leased = |last: u8| {
            let address = format!("10.0.0.{last}");
            let verdict = if last == 20 { &dead } else { &live };
            entry(&tenant(&address), verdict, Duration::ZERO)
        };
        let entries: Vec<_> = (16..32).map(leased).collect();
        let chart = Chart::of(&network, &entries, |_| FRAME);
        let cell = &chart.subnets[0].rows[0].cells[0];
        assert_eq!((cell.state, cell.leased), (State::Dead, 16));
        assert!((cell.share - 0.5).abs() < f32::EPSILON);
        assert_eq!((cell.who.len(), cell.more), (8, 8));
        assert_eq!(chart.subnets[0].rows[0].cells[1].state, State::Free);
    }

    #[test]
    fn of_a_large_ipv6_subnet_the_clusters_are_there() {
        let subnet = r#"{"subnet": "fd00::/64", "gateway": "fd00::1"}"#;
        let few = sheet(subnet, "", &["fd00::2", "fd00::40", "fd00::abcd:1"]);
        assert_eq!(shape(&few), (3, 64, 128));
        let firsts: Vec<_> = few.rows.iter().map(|row| row.first.to_string()).collect();
        assert_eq!(firsts, ["fd00::", "fd00::40", "fd00::abcd:0"]);
        let gaps: Vec<_> = few.rows.iter().map(|row| row.follows_gap).collect();
        assert_eq!(gaps, [false, false, true]);
        // More clusters than rows: the cells are blocks.
        let many: Vec<_> = (0..100).map(|at| format!("fd00::{at:x}:0:2")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let sheet = sheet(subnet, "", &many);
        assert!(sheet.rows.len() <= 32, "{}", sheet.rows.len());
        assert!(sheet.cell_prefix < 128);
        let largest = self::sheet(r#"{"subnet": "::/0"}"#, "", &["fd00::2", "1::"]);
        assert_eq!(largest.rows.len(), 2);
    }
}
