//! The shares and their hosts as tables.

use std::fmt;

use anstyle::AnsiColor;
use serde::{Serialize, Serializer};

use crate::frontend::operator::table::{Table, plain};
use crate::frontend::operator::words::shown_id;
use crate::upkeep::share::{HostState, HostView, ShareState, ShareView};

/// The shares, for people.
pub(super) struct ShareListing {
    pub(super) shares: Vec<ShareView>,
    pub(super) coloured: bool,
}

impl Serialize for ShareListing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shares.serialize(serializer)
    }
}

impl fmt::Display for ShareListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEADINGS: &[&str] = &[
            "SHARE",
            "STATE",
            "HOSTS",
            "LIVE",
            "ADDRESSES",
            "OWN",
            "SUBNETS",
        ];
        let mut table = Table::new(Some(HEADINGS), self.coloured);
        for share in &self.shares {
            let colour = match share.state {
                ShareState::Open => AnsiColor::Green,
                ShareState::Unused => AnsiColor::BrightBlack,
                ShareState::Suspended | ShareState::Evicted => AnsiColor::Yellow,
                ShareState::Refused | ShareState::Unreachable => AnsiColor::Red,
            };
            // If a share cannot be seen, nothing about it is known.
            let number = |count: usize| match share.state {
                ShareState::Unreachable => plain(""),
                _ => plain(count.to_string()),
            };
            table.row([
                plain(&share.share),
                (share.state.to_string(), Some(colour)),
                number(share.hosts),
                number(share.live),
                number(share.addresses),
                number(share.own_addresses),
                plain(share.subnets.join(", ")),
            ]);
        }
        f.write_str(&table.lines().join("\n"))
    }
}

/// The hosts of a share, for people.
pub(super) struct HostListing {
    pub(super) hosts: Vec<HostView>,
    pub(super) headings: bool,
    pub(super) whole_ids: bool,
    pub(super) coloured: bool,
}

impl Serialize for HostListing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.hosts.serialize(serializer)
    }
}

impl fmt::Display for HostListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEADINGS: &[&str] = &["HOST ID", "NAME", "STATE", "ADDRESSES", "OWN"];
        let mut table = Table::new(self.headings.then_some(HEADINGS), self.coloured);
        for host in &self.hosts {
            let colour = match host.state {
                HostState::Live => AnsiColor::Green,
                HostState::Silent | HostState::Behind => AnsiColor::Yellow,
                HostState::Evicted => AnsiColor::Red,
                HostState::Unrecorded => AnsiColor::BrightBlack,
            };
            let mark = if host.own { "*" } else { "" };
            table.row([
                plain(shown_id(&host.id, self.whole_ids)),
                plain(&host.name),
                (host.state.to_string(), Some(colour)),
                plain(host.addresses.len().to_string()),
                plain(mark),
            ]);
        }
        f.write_str(&table.lines().join("\n"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_a_table() {
        let host = |id: &str, name: &str, state, own, count| HostView {
            id: id.repeat(8),
            name: name.into(),
            state,
            own,
            addresses: vec!["10.0.0.9".parse().unwrap(); count],
        };
        let mut listing = HostListing {
            hosts: vec![
                host("1f2e", "alpha", HostState::Live, true, 12),
                host("3d4c", "\u{1b}[2Jbravo", HostState::Evicted, false, 0),
            ],
            headings: true,
            whole_ids: false,
            coloured: false,
        };
        assert_eq!(
            listing.to_string(),
            "\
HOST ID       NAME            STATE    ADDRESSES  OWN
1f2e1f2e1f2e  alpha           live     12         *
3d4c3d4c3d4c  \\u{1b}[2Jbravo  evicted  0"
        );
        listing.whole_ids = true;
        assert!(listing.to_string().contains(&"1f2e".repeat(8)));
    }

    #[test]
    fn of_a_share_out_of_reach_no_numbers_are_shown() {
        let view = |share: &str, state, count| ShareView {
            share: share.into(),
            state,
            trouble: None,
            subnets: vec!["10.0.0.0/24".into(); count],
            hosts: count,
            live: count,
            addresses: 7 * count,
            own_addresses: count,
            host: None,
        };
        let statuses = ShareListing {
            shares: vec![
                view("dmz", ShareState::Unreachable, 0),
                view("lan", ShareState::Open, 2),
            ],
            coloured: false,
        };
        assert_eq!(
            statuses.to_string(),
            "\
SHARE  STATE        HOSTS  LIVE  ADDRESSES  OWN  SUBNETS
dmz    unreachable
lan    open         2      2     14         2    10.0.0.0/24, 10.0.0.0/24"
        );
    }
}
