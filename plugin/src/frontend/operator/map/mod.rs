//! `berth map`: a network's addresses as a picture.

mod html;
mod legend;
mod svg;
mod terminal;

use std::fmt;

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;
use serde::Serialize;

use super::table::wants_colour;
use super::{Failure, Place};
use crate::frontend::{completion, print_coloured};
use crate::protocol::Network;
use crate::upkeep::overview::{Chart, Entry, Overview};

const AFTER: &str = "\
Examples:
  berth map web
  berth map --format svg web >web.svg
  berth map --format html web >web.html";

/// Arguments of `berth map`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Map {
    /// The network, by name or id
    #[arg(add = ArgValueCandidates::new(completion::networks))]
    network: String,
    /// What to print
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    place: Place,
}

/// How the picture is made.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For the terminal, as wide as it is
    Text,
    /// For a report, light or dark like the reader's screen
    Svg,
    /// One page for a browser, which needs nothing else
    Html,
    /// The cells of the picture
    Json,
}

/// Draws the picture.
///
/// # Errors
/// If the store cannot be read, or berth leases no addresses for the network.
pub(super) fn run(map: &Map) -> Result<(), Failure> {
    let podman = map.place.podman()?;
    let mut overview = Overview::take(&podman)?;
    overview.ask_shares(&podman);
    let network = overview.network(&map.network)?;
    let mut entries = overview.entries(true);
    entries.retain(|entry| entry.network_id == network.id);
    let drawn = Drawn {
        at: overview.time(),
        ..draw(network, entries, map.format)
    };
    Ok(print_coloured(&drawn, matches!(map.format, Format::Json))?)
}

/// Returns a picture without its time.
fn draw(network: &Network, entries: Vec<Entry>, format: Format) -> Drawn {
    let terminal = terminal::Screen::here(network, wants_colour());
    let frame = |subnet| match format {
        Format::Text => terminal.frame(),
        Format::Svg | Format::Html | Format::Json => svg::frame(subnet),
    };
    Drawn {
        chart: Chart::of(network, &entries, frame),
        entries,
        format,
        terminal,
        at: String::new(),
    }
}

/// What is printed.
struct Drawn {
    chart: Chart,
    entries: Vec<Entry>,
    format: Format,
    terminal: terminal::Screen,
    /// When the host was looked at.
    at: String,
}

impl Serialize for Drawn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.chart.serialize(serializer)
    }
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chart, at, .. } = self;
        match self.format {
            Format::Text => f.write_str(&self.terminal.draw(chart)),
            Format::Svg => f.write_str(&svg::picture(chart, at)),
            Format::Html => f.write_str(&html::page(chart, &self.entries, at)),
            Format::Json => Ok(()),
        }
    }
}
