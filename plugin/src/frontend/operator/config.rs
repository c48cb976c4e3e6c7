//! `berth config`: what berth.conf sets, and in which line.

use std::env;
use std::fmt;

use clap::Args;
use serde::Serialize;

use super::table::Table;
use super::{Failure, Format, Place};
use crate::frontend::{complain, print};
use crate::podman::{Podman, STATE_VARIABLE};
use crate::rules::settings::keys::{self, Key, STATE_DIRECTORY};
use crate::rules::settings::{Mistake, Section, Settings};

const AFTER: &str = "\
Files; a later one wins key by key:
  /usr/share/containers/berth.conf
  /etc/containers/berth.conf
  /etc/containers/berth.conf.d/*.conf
  $XDG_CONFIG_HOME/containers/berth.conf and berth.conf.d/*.conf (by default in ~/.config)
  $BERTH_CONF replaces them all, $BERTH_CONF_OVERRIDE comes last; see berth.conf(5)

Exit codes:
  0  all of it was understood
  1  there is a mistake in the files
  2  the command line is wrong

Examples:
  berth config
  BERTH_CONF=./berth.conf berth config    before it is put in its place";

/// Arguments of `berth config`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Config {
    /// What to print
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: Place,
}

/// Prints the settings.
///
/// # Errors
/// If there is a mistake in the files. Everything else is still printed.
pub(super) fn run(arguments: &Config) -> Result<(), Failure> {
    let podman = arguments.place.podman()?;
    print(&Listing::of(&podman), arguments.format == Format::Json)?;
    let mistakes = &podman.settings.mistakes;
    for mistake in mistakes {
        complain(&format!("{mistake} ({})", mistake.concern));
    }
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(Failure::Reported),
    }
}

/// A key, and where its value comes from.
#[derive(Debug, Serialize)]
struct Line {
    /// The key with its table, as in `network.web.ipam_hold`.
    key: String,
    value: String,
    /// A file and a line, a variable, or `default`.
    from: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Fault {
    at: String,
    what: String,
    effect: String,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Listing {
    settings: Vec<Line>,
    mistakes: Vec<Fault>,
}

impl Listing {
    fn of(podman: &Podman) -> Self {
        let Settings {
            general,
            waits,
            defaults,
            networks,
            shares,
            mistakes,
        } = &podman.settings;
        let mut settings = vec![state_directory(podman)];
        let others = keys::GENERAL.iter();
        let others = others.filter(|key| key.name != STATE_DIRECTORY);
        settings.extend(others.map(|key| line("", key, general)));
        settings.extend(keys::WAITS.iter().map(|key| line("waits.", key, waits)));
        let in_defaults = keys::DEFAULTS.iter();
        settings.extend(in_defaults.map(|key| line("defaults.", key, defaults)));
        for (name, section) in networks {
            let table = format!("network.{name}.");
            let keys = keys::NETWORK.iter();
            let set = keys.filter(|key| section.contains_key(key.name));
            settings.extend(set.map(|key| line(&table, key, section)));
        }
        for (name, section) in shares {
            let table = format!("share.{name}.");
            settings.extend(keys::SHARE.iter().map(|key| line(&table, key, section)));
        }
        let fault = |mistake: &Mistake| Fault {
            at: mistake.origin.to_string(),
            what: mistake.what.clone(),
            effect: mistake.concern.to_string(),
        };
        Self {
            settings,
            mistakes: mistakes.iter().map(fault).collect(),
        }
    }
}

/// Returns the setting of where the leases are. The environment takes precedence over
/// the files.
fn state_directory(podman: &Podman) -> Line {
    let value = podman.state_directory.display().to_string();
    let is_named = env::var_os(STATE_VARIABLE).is_some_and(|value| !value.is_empty());
    let set = podman.settings.state_directory();
    let from = match set.filter(|item| item.text == value) {
        _ if is_named => format!("${STATE_VARIABLE}"),
        Some(item) => item.origin.to_string(),
        None => "default".to_owned(),
    };
    Line {
        key: STATE_DIRECTORY.to_owned(),
        value,
        from: vec![from],
    }
}

fn line(table: &str, key: &Key, section: &Section) -> Line {
    let set = section.get(key.name).map(|setting| &setting.items);
    let texts = set.map(|items| items.iter().map(|item| item.text.as_str()));
    let value = texts.map(|texts| texts.collect::<Vec<_>>().join(", "));
    let from = set.map(|items| items.iter().map(|item| item.origin.to_string()));
    let mut from: Vec<_> = from.map(Iterator::collect).unwrap_or_default();
    from.dedup();
    if set.is_none() {
        from.push("default".to_owned());
    }
    Line {
        key: format!("{table}{}", key.name),
        value: value.unwrap_or_else(|| key.default.to_owned()),
        from,
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(Some(&["KEY", "VALUE", "FROM"]), false);
        for line in &self.settings {
            let cells = [line.key.clone(), line.value.clone(), line.from.join(", ")];
            table.row(cells.map(|text| (text, None)));
        }
        f.write_str(&table.lines().join("\n"))
    }
}
