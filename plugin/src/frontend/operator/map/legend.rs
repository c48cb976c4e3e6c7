//! The name and the look of each state, the same in every picture.

use anstyle::{AnsiColor, Style};

use crate::upkeep::overview::{Sheet, State, Totals};

/// Every state that a cell can have, in the order of the legend.
pub(super) const STATES: [State; 11] = [
    State::Live,
    State::Offered,
    State::Unknown,
    State::Dead,
    State::Elsewhere,
    State::Cooldown,
    State::Held,
    State::Reserved,
    State::Gateway,
    State::Excluded,
    State::Free,
];

/// Returns what a state means, in one to three words.
pub(super) const fn meaning(state: State) -> &'static str {
    match state {
        State::Live => "live",
        State::Offered => "starting",
        State::Unknown => "unknown",
        State::Dead => "dead",
        State::Elsewhere => "on another host",
        State::Cooldown => "cooling down",
        State::Held => "held",
        State::Reserved => "reserved",
        State::Gateway => "gateway",
        State::Excluded => "excluded",
        State::Free => "free",
    }
}

/// Returns the sign for a state of a cell, in a terminal and on the marked cells of a
/// picture.
pub(super) const fn sign(state: State) -> char {
    match state {
        State::Live => '█',
        State::Offered => '▒',
        State::Unknown => '?',
        State::Dead => '×',
        State::Elsewhere => '▚',
        State::Cooldown => '~',
        State::Held => 'h',
        State::Reserved => 'R',
        State::Gateway => 'G',
        State::Excluded => '-',
        State::Free => '·',
    }
}

/// Returns how a terminal shows a state.
pub(super) fn style(state: State) -> Style {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match state {
        State::Live => colour(AnsiColor::Green),
        State::Offered => colour(AnsiColor::Cyan),
        State::Unknown => colour(AnsiColor::Yellow).bold(),
        State::Dead => colour(AnsiColor::Red).bold(),
        State::Elsewhere => colour(AnsiColor::BrightCyan),
        State::Cooldown | State::Held => colour(AnsiColor::Blue),
        State::Reserved => colour(AnsiColor::Magenta),
        State::Gateway => Style::new().bold(),
        State::Excluded | State::Free => colour(AnsiColor::BrightBlack),
    }
}

/// Returns the states that addresses of a subnet are in, and how many addresses are in
/// each. Free is always among them.
pub(super) fn counts(totals: &Totals) -> Vec<(State, u64)> {
    let counted = STATES.map(|state| (state, totals.count(state)));
    let mut counted = counted.to_vec();
    counted.retain(|(state, count)| *count > 0 || *state == State::Free);
    counted
}

/// Returns a number as people say it: 18446744 is `18.4 million`. One above a trillion
/// becomes an approximate power of two.
pub(super) fn number(count: u64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "one digit after the point is shown"
    )]
    let of = |size: f64| count as f64 / size;
    match count {
        0..=99_999 => count.to_string(),
        100_000..=999_999 => format!("{:.0} thousand", of(1e3)),
        1_000_000..=999_999_999 => format!("{:.1} million", of(1e6)),
        1_000_000_000..=999_999_999_999 => format!("{:.1} billion", of(1e9)),
        u64::MAX => "2^64 or more".to_owned(),
        _ => format!(
            "about 2^{}",
            count.ilog2() + u32::from(count.leading_ones() > 1)
        ),
    }
}

/// Returns a subnet's totals in a line.
pub(super) fn summary(totals: &Totals) -> String {
    let Totals {
        addresses,
        leasable,
        free,
        ..
    } = totals;
    let leased = totals.leased();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a percentage without decimals is shown"
    )]
    let share = match *leasable {
        0 => String::new(),
        all => format!(" ({:.0}%)", leased as f64 * 100.0 / all as f64),
    };
    format!(
        "{} addresses, {} to lease: {leased} leased{share}, {} free",
        number(*addresses),
        number(*leasable),
        number(*free)
    )
}

/// Returns what a cell stands for, if not for one address.
pub(super) fn scale(sheet: &Sheet) -> Option<String> {
    let width = if sheet.totals.subnet.is_ipv4() {
        32
    } else {
        128
    };
    let bits = width - sheet.cell_prefix;
    let count = match bits {
        0 => return None,
        1..=63 => number(1 << bits),
        _ => format!("2^{bits}"),
    };
    Some(format!(
        "one cell is a /{}: {count} addresses",
        sheet.cell_prefix
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_told_in_words() {
        assert_eq!(number(65_536), "65536");
        assert_eq!(number(524_288), "524 thousand");
        assert_eq!(number(16_777_214), "16.8 million");
        assert_eq!(number(1 << 40), "about 2^40");
        assert_eq!(number(u64::MAX - 3), "about 2^64");
        assert_eq!(number(u64::MAX), "2^64 or more");
    }
}
