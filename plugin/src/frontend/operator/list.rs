//! `berth list`: who has which address now.

use std::fmt;

use anstyle::AnsiColor;
use clap::{Args, ValueEnum};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::table::{Table, plain, wants_colour};
use super::template::Template;
use super::words::{short, shown_id};
use super::{Failure, Place};
use crate::frontend::{completion, print_coloured};
use crate::rules::lease::Kind;
use crate::upkeep::overview::{Entry, Filter, Order, Overview, State};

const AFTER: &str = "\
States:
  live      the container that has the address is alive
  offered   it is just being started
  unknown   berth cannot tell whether it is alive, and keeps the lease
  dead      it is gone; the next collection takes the address back
  elsewhere another host of the share has it
  cooldown  released a moment ago (--all)
  held      kept for the container that had it (--all)
  reserved  only for the container that `berth reserve` names (--all)
  excluded  leased only to a container that asks for it (--all)

Examples:
  berth list --network web
  berth list --filter state=dead --quiet
  berth list --format 'table {{.Address}}\\t{{.ContainerName}}\\t{{.Reason}}'";

/// Arguments of `berth list`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct List {
    /// Also addresses that are not leased: cooling down, held, reserved, excluded
    #[arg(long, short)]
    all: bool,
    /// Only this network, by name or id
    #[arg(long, value_name = "NETWORK", add = ArgValueCandidates::new(completion::networks))]
    network: Option<String>,
    /// Only entries that match: network=…, container=…, address=… or state=…
    ///
    /// May be given several times: an entry must match one value of every key that is
    /// given. Give a container by its name or the beginning of its id; an address may be
    /// a subnet.
    #[arg(long, short, value_name = "KEY=VALUE", add = ArgValueCompleter::new(completion::filters))]
    filter: Vec<String>,
    /// Print `json`, a `table`, or a Go template
    ///
    /// Of Go's templates, berth knows {{.Field}}, {{json .}} and {{json .Field}}; with
    /// `table` before it, the template is printed as a table with headings.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: String,
    /// Print JSON; the same as --format json
    #[arg(long, conflicts_with_all = ["format", "quiet"])]
    json: bool,
    /// Print whole container ids
    #[arg(long)]
    no_trunc: bool,
    /// Print only the addresses
    #[arg(long, short, conflicts_with = "format")]
    quiet: bool,
    /// Sort by this, then by network and address
    #[arg(long, value_name = "FIELD", default_value = "network")]
    sort: By,
    /// Print no headings
    #[arg(long, short)]
    noheading: bool,
    #[command(flatten)]
    place: Place,
}

/// What a list can be sorted by.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Address,
    Age,
    Container,
    Expires,
    Network,
    State,
}

impl From<By> for Order {
    fn from(by: By) -> Self {
        match by {
            By::Address => Self::Address,
            By::Age => Self::Age,
            By::Container => Self::Container,
            By::Expires => Self::Expires,
            By::Network => Self::Network,
            By::State => Self::State,
        }
    }
}

/// The fields of an entry, by the names that templates use.
const FIELDS: [&str; 19] = [
    "address",
    "network",
    "network_id",
    "subnet",
    "state",
    "reason",
    "container_id",
    "container_name",
    "host",
    "interface",
    "kind",
    "comment",
    "since",
    "age",
    "age_seconds",
    "expires",
    "expires_in",
    "expires_in_seconds",
    "generation",
];

/// Lists the entries.
///
/// # Errors
/// If the store cannot be read, or the arguments make no sense.
pub(super) fn run(list: &List) -> Result<(), Failure> {
    let usage = |error: &dyn std::error::Error| Failure::Usage(error.to_string());
    let mut filter = Filter::parse(&list.filter).map_err(|error| usage(&error))?;
    let view = match list.format.as_str() {
        _ if list.json => View::Json,
        _ if list.quiet => View::Quiet,
        "json" => View::Json,
        "table" => View::Table,
        text => View::Template(Template::parse(text, &FIELDS).map_err(|error| usage(&error))?),
    };
    let podman = list.place.podman()?;
    let mut overview = Overview::take(&podman)?;
    overview.ask_shares(&podman);
    if let Some(network) = &list.network {
        filter.add_network(&overview.network(network)?.name);
    }
    let mut entries = overview.entries(list.all || filter.asks_for_unleased());
    entries.retain(|entry| filter.wants(entry));
    Order::from(list.sort).sort(&mut entries);
    let listing = Listing {
        rows: entries.into_iter().map(Row::of).collect(),
        headings: !list.noheading,
        whole_ids: list.no_trunc,
        coloured: wants_colour(),
        view,
    };
    if listing.is_silent() {
        return Ok(());
    }
    Ok(print_coloured(
        &listing,
        matches!(listing.view, View::Json),
    )?)
}

/// How a list is printed.
#[derive(Debug)]
enum View {
    Json,
    Table,
    Quiet,
    Template(Template),
}

/// An entry, and its times in words.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    entry: Entry,
    age: String,
    expires_in: String,
}

impl Row {
    fn of(entry: Entry) -> Self {
        Self {
            age: entry.age.map(short).unwrap_or_default(),
            expires_in: entry.left.map(short).unwrap_or_default(),
            entry,
        }
    }

    fn value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// What is printed.
struct Listing {
    rows: Vec<Row>,
    headings: bool,
    whole_ids: bool,
    coloured: bool,
    view: View,
}

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows.serialize(serializer)
    }
}

impl Listing {
    /// Returns whether there is not a single line to print.
    fn is_silent(&self) -> bool {
        !matches!(self.view, View::Json) && self.lines().is_empty()
    }

    fn lines(&self) -> Vec<String> {
        match &self.view {
            View::Json => Vec::new(),
            View::Quiet => {
                let addresses = self.rows.iter().map(|row| row.entry.address);
                addresses.map(|address| address.to_string()).collect()
            }
            View::Table => self.table(),
            View::Template(template) if template.is_table => self.templates(template),
            View::Template(template) => {
                let rows = self.rows.iter().map(|row| template.fill(&row.value()));
                rows.collect()
            }
        }
    }

    fn table(&self) -> Vec<String> {
        // Most hosts have no network in a share.
        let is_shared = self.rows.iter().any(|row| !row.entry.host.is_empty());
        let mut headings = vec!["ADDRESS", "NETWORK", "CONTAINER ID", "NAME"];
        headings.extend(is_shared.then_some("HOST"));
        headings.extend(["KIND", "STATE", "AGE", "EXPIRES"]);
        let mut table = Table::new(self.headings.then_some(&headings[..]), self.coloured);
        for row in &self.rows {
            let entry = &row.entry;
            let id = shown_id(&entry.container_id, self.whole_ids);
            let kind = entry.kind.map_or("", kind);
            let mut cells = vec![
                plain(entry.address.to_string()),
                plain(&entry.network),
                plain(id),
                plain(name(entry)),
            ];
            cells.extend(is_shared.then(|| plain(&entry.host)));
            cells.extend([
                plain(kind),
                (entry.state.to_string(), Some(colour(entry.state))),
                plain(&row.age),
                plain(&row.expires_in),
            ]);
            table.row(cells);
        }
        table.lines()
    }

    /// Returns a table made by a template that separates its columns with tabs.
    fn templates(&self, template: &Template) -> Vec<String> {
        let headings = template.headings();
        let headings: Vec<_> = headings.split('\t').collect();
        let mut table = Table::new(self.headings.then_some(&headings[..]), false);
        for row in &self.rows {
            let filled = template.fill(&row.value());
            table.row(filled.split('\t').map(plain));
        }
        table.lines()
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

/// Returns the name of the address's container; for an address that is reserved for
/// none, what it is for.
fn name(entry: &Entry) -> String {
    match (entry.container_name.as_str(), entry.comment.as_str()) {
        ("", "") => String::new(),
        ("", comment) => format!("({comment})"),
        (name, _) => name.to_owned(),
    }
}

pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Dynamic => "dynamic",
        Kind::Static => "static",
    }
}

const fn colour(state: State) -> AnsiColor {
    match state {
        State::Live => AnsiColor::Green,
        State::Offered => AnsiColor::Cyan,
        State::Unknown => AnsiColor::Yellow,
        State::Dead => AnsiColor::Red,
        State::Elsewhere => AnsiColor::BrightCyan,
        State::Cooldown | State::Held => AnsiColor::Blue,
        State::Reserved => AnsiColor::Magenta,
        State::Excluded | State::Gateway | State::Free => AnsiColor::BrightBlack,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rules::lease::{Tenant, fixture_of};
    use crate::rules::verdict::{Sign, Verdict};
    use crate::sight::Evidence;
    use crate::upkeep::overview::Shares;

    fn overview() -> Overview {
        let tenant = |id: &str, address: &str| fixture_of(&id.repeat(16), address);
        let judged = |tenant: Tenant| (tenant, Verdict::Live(Sign::Starting { pid: 1 }));
        let holders: Vec<_> = [tenant("abcd", "10.0.0.10"), tenant("ef01", "10.0.0.9")]
            .map(judged)
            .into();
        let at = holders[0]
            .0
            .created
            .after(std::time::Duration::from_secs(65));
        Overview {
            networks: Vec::new(),
            reservations: Vec::new(),
            evidence: Evidence {
                at,
                boot_id: "boot".to_owned(),
                ..Evidence::default()
            },
            holders,
            collection: None,
            shares: Shares::default(),
        }
    }

    fn listing(view: View) -> Listing {
        Listing {
            rows: overview().entries(true).into_iter().map(Row::of).collect(),
            headings: true,
            whole_ids: false,
            coloured: false,
            view,
        }
    }

    #[test]
    fn a_table_is_like_podmans() {
        assert_eq!(
            listing(View::Table).to_string(),
            "\
ADDRESS    NETWORK  CONTAINER ID  NAME  KIND     STATE  AGE    EXPIRES
10.0.0.9   net      ef01ef01ef01  web   dynamic  live   1m 5s  58m 55s
10.0.0.10  net      abcdabcdabcd  web   dynamic  live   1m 5s  58m 55s"
        );
        assert_eq!(listing(View::Quiet).to_string(), "10.0.0.9\n10.0.0.10");
    }

    #[test]
    fn the_host_is_told_where_an_address_may_be_on_another() {
        let mut listing = listing(View::Table);
        listing.rows[0].entry.host = "alpha".to_owned();
        listing.rows[0].entry.state = State::Elsewhere;
        assert_eq!(
            listing.to_string(),
            "\
ADDRESS    NETWORK  CONTAINER ID  NAME  HOST   KIND     STATE      AGE    EXPIRES
10.0.0.9   net      ef01ef01ef01  web   alpha  dynamic  elsewhere  1m 5s  58m 55s
10.0.0.10  net      abcdabcdabcd  web          dynamic  live       1m 5s  58m 55s"
        );
    }

    #[test]
    fn templates_print_a_line_for_each_entry() {
        let view = |text| View::Template(Template::parse(text, &FIELDS).expect("a template"));
        let lines = listing(view("{{.Address}} {{.Age}} {{.State}}")).to_string();
        assert_eq!(lines, "10.0.0.9 1m 5s live\n10.0.0.10 1m 5s live");
        let table = listing(view("table {{.Address}}\\t{{.ExpiresIn}}")).to_string();
        assert_eq!(
            table,
            "ADDRESS    EXPIRES IN\n10.0.0.9   58m 55s\n10.0.0.10  58m 55s"
        );
    }

    #[test]
    fn templates_know_every_field_of_the_json() {
        let row = listing(View::Json).rows.remove(0).value();
        let fields = row.as_object().expect("an object").keys();
        let fields: BTreeSet<_> = fields.map(String::as_str).collect();
        assert_eq!(fields, BTreeSet::from(FIELDS));
    }
}
