//! `berth history`: who had which address.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anstyle::AnsiColor;
use clap::Args;
use serde::Serialize;

use super::list::kind;
use super::table::{Table, plain, wants_colour};
use super::words::shown_id;
use super::{Failure, Format, Place};
use crate::frontend::{complain, print, say};
use crate::rules::history::{End, Line, Outcome, Spell};
use crate::text;
use crate::upkeep::history::{Subject, follow, tell};
use crate::upkeep::timestamp;

const AFTER: &str = "\
How it ended:
  held       it has not ended: the container has the address
  released   the container gave the address back
  reclaimed  the container was gone, and berth took the address back; with the evidence
  forced     a person took it back: `berth release --force`
  undone     the container's setup failed, and all of it was undone
  moved      the network went back to Podman's own allocation
  unnoted    the end was not noted, as when the machine went down; it had ended by then

The history goes back 30 days and has at most 20,000 events, the newest: 10,000 leases that
began and ended. Times are in UTC.

Examples:
  berth history 10.50.0.10
  berth history --since 2h web
  berth history --follow";

/// Arguments of `berth history`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct History {
    /// Addresses, containers' names or the beginnings of their ids, networks' names or ids;
    /// by default everything
    #[arg(value_name = "ADDRESS|CONTAINER|NETWORK")]
    words: Vec<String>,
    /// Only on this network, by name or id
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Leave out what ended before this time: `90m`, `7d`, `2026-11-25`,
    /// `2026-11-25T02:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<u64>,
    /// Print events as they happen, until interrupted; with --since also those since then
    #[arg(long)]
    follow: bool,
    /// What to print
    ///
    /// With --follow, a line or an object on a line for each event.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Print JSON; the same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print whole container ids
    #[arg(long)]
    no_trunc: bool,
    #[command(flatten)]
    place: Place,
}

/// Prints the history.
///
/// # Errors
/// If no container has held what was asked for, or the output cannot be written.
pub(super) fn run(history: &History) -> Result<(), Failure> {
    let json = history.json || history.format == Format::Json;
    let mut subject = Subject {
        words: history.words.clone(),
        network: history.network.clone(),
        since: history.since.unwrap_or_default(),
    };
    if history.follow {
        subject.since = history.since.unwrap_or_else(now);
        // From outside Podman's namespaces, because a process that stays in them would keep
        // them alive.
        let podman = history.place.podman_from_outside()?;
        return Ok(follow(&podman, &subject, |line| event(line, json))?);
    }
    let spells = tell(&history.place.podman()?, &subject)?;
    if spells.is_empty() && !history.words.is_empty() {
        let words = history.words.join(" ");
        complain(&format!(
            "the history has no entry for {words}; `berth history` shows everything"
        ));
        return Err(Failure::Reported);
    }
    let told = Told {
        rows: spells.iter().map(Row::of).collect(),
        whole_ids: history.no_trunc,
        coloured: wants_colour(),
    };
    Ok(print(&told, json)?)
}

/// Reads a time: either how long ago, or a point in time.
fn since(text: &str) -> Result<u64, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(now().saturating_sub(milliseconds(ago)));
    }
    let midnight = format!("{text}T00:00:00Z");
    let time = humantime::parse_rfc3339_weak(text).or_else(|_| humantime::parse_rfc3339(&midnight));
    let time = time.map_err(
        |_| "give a duration (90m, 7d), a day (2026-11-25) or a time in UTC (2026-11-25T02:00:00Z)",
    )?;
    Ok(milliseconds(
        time.duration_since(UNIX_EPOCH).unwrap_or_default(),
    ))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    milliseconds(since.unwrap_or_default())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One container's time with one address. Times are RFC 3339 in UTC.
#[derive(Debug, Serialize)]
struct Row<'s> {
    address: String,
    network: &'s str,
    network_id: &'s str,
    container_id: &'s str,
    container_name: &'s str,
    interface: &'s str,
    kind: &'static str,
    from: String,
    /// When it ended; `null` if the container still holds the address, or if the end is not
    /// known.
    until: Option<String>,
    outcome: Outcome,
    reason: &'s str,
}

impl<'s> Row<'s> {
    fn of(spell: &'s Spell) -> Self {
        let holder = &spell.holder;
        Self {
            address: spell.address.to_string(),
            network: &holder.network,
            network_id: &holder.network_id,
            container_id: &holder.container_id,
            container_name: &holder.container_name,
            interface: &holder.interface,
            kind: kind(spell.kind),
            from: timestamp(spell.from),
            until: spell.until.map(timestamp),
            outcome: spell.outcome,
            reason: &spell.reason,
        }
    }
}

/// What is printed.
struct Told<'s> {
    rows: Vec<Row<'s>>,
    whole_ids: bool,
    coloured: bool,
}

impl Serialize for Told<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows.serialize(serializer)
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEADINGS: &[&str] = &[
            "ADDRESS",
            "NETWORK",
            "CONTAINER ID",
            "NAME",
            "KIND",
            "FROM",
            "UNTIL",
            "HOW IT ENDED",
        ];
        let mut table = Table::new(Some(HEADINGS), self.coloured);
        for row in &self.rows {
            let id = shown_id(row.container_id, self.whole_ids);
            let end = match row.reason {
                "" => row.outcome.as_str().to_owned(),
                reason => format!("{}: {reason}", row.outcome.as_str()),
            };
            table.row([
                plain(&row.address),
                plain(row.network),
                plain(id),
                plain(row.container_name),
                plain(row.kind),
                plain(&row.from),
                plain(row.until.as_deref().unwrap_or_default()),
                (end, colour(row.outcome)),
            ]);
        }
        f.write_str(&table.lines().join("\n"))
    }
}

const fn colour(outcome: Outcome) -> Option<AnsiColor> {
    match outcome {
        Outcome::Held => Some(AnsiColor::Green),
        Outcome::Ended(End::Reclaimed | End::Undone) => Some(AnsiColor::Red),
        Outcome::Ended(End::Forced) | Outcome::Unnoted => Some(AnsiColor::Yellow),
        Outcome::Ended(End::Released | End::Moved) => None,
    }
}

/// Prints one event.
fn event(line: &Line, json: bool) -> io::Result<()> {
    let time = timestamp(line.at());
    let what = line.to_string();
    let text = if json {
        let event = serde_json::json!({"time": time, "what": what, "event": line});
        text::json(&event.to_string())
    } else {
        format!("{time} {what}")
    };
    say(&mut io::stdout().lock(), &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::history::spells;
    use crate::rules::lease::{Kind, fixture_of};

    #[test]
    fn a_history_is_a_table() {
        let mut tenant = fixture_of("1f2e3d4c5b6a7988", "10.0.0.9");
        tenant.leased[0].kind = Kind::Static;
        tenant.container_name = "w\u{1b}[2Jeb".into();
        let end = tenant.created.wall_ms + 60_000;
        let lines = [
            Line::began(&tenant, false, None),
            Line::ended(&tenant, end, End::Reclaimed, "nobody lives there"),
        ];
        let spells = spells(&lines, Some(&[]), "boot");
        let told = Told {
            rows: spells.iter().map(Row::of).collect(),
            whole_ids: false,
            coloured: false,
        };
        assert_eq!(
            told.to_string(),
            "\
ADDRESS   NETWORK  CONTAINER ID  NAME          KIND    FROM                  UNTIL                 HOW IT ENDED
10.0.0.9  net      1f2e3d4c5b6a  w\\u{1b}[2Jeb  static  2023-11-14T22:13:20Z  2023-11-14T22:14:20Z  reclaimed: nobody lives there"
        );
    }

    #[test]
    fn a_time_is_given_as_people_say_it() {
        let hour = 3_600_000;
        let an_hour_ago = since("1h").expect("a time");
        assert!(now().abs_diff(an_hour_ago + hour) < 60_000);
        assert_eq!(since("1970-01-02"), Ok(24 * hour));
        assert_eq!(since("1970-01-01T01:00:00Z"), Ok(hour));
        assert_eq!(since("1970-01-01 01:00:00"), Ok(hour));
        assert!(since("yesterday").is_err());
    }
}
