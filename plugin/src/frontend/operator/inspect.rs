//! `berth inspect`: everything known about an address, a container or a network.

use std::fmt;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde::Serialize;
use serde_json::Map;

use super::template::{Template, TemplateError};
use super::{Failure, Place};
use crate::frontend::{complain, completion, print};
use crate::upkeep::overview::{Dossier, Overview};

const AFTER: &str = "\
Examples:
  berth inspect 10.50.0.10
  berth inspect web | jq '.[].leases[].evidence'
  berth inspect --format '{{.State}}: {{.Reason}}' 10.50.0.10";

/// Arguments of `berth inspect`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Inspect {
    /// An address, a container's name or the beginning of its id, a network's name or id
    #[arg(
        required = true,
        value_name = "ADDRESS|CONTAINER|NETWORK",
        add = ArgValueCandidates::new(completion::subjects)
    )]
    words: Vec<String>,
    /// For an address that several networks have: only this network, by name or id
    #[arg(long, value_name = "NETWORK", add = ArgValueCandidates::new(completion::networks))]
    network: Option<String>,
    /// Print `json`, or a Go template
    ///
    /// Of Go's templates, berth knows {{.Field}}, {{json .}} and {{json .Field}}.
    #[arg(long, short, value_name = "FORMAT", default_value = "json")]
    format: String,
    #[command(flatten)]
    place: Place,
}

/// Prints everything known about what is named.
///
/// # Errors
/// If the store cannot be read, or berth knows nothing about one of the words. What it
/// knows about the others is still printed.
pub(super) fn run(inspect: &Inspect) -> Result<(), Failure> {
    let podman = inspect.place.podman()?;
    let mut overview = Overview::take(&podman)?;
    overview.ask_shares(&podman);
    let (mut found, mut complete) = (Vec::new(), true);
    for word in &inspect.words {
        match overview.inspect(word, inspect.network.as_deref()) {
            Ok(dossiers) => found.extend(dossiers),
            Err(error) => {
                complain(&crate::chain(&error));
                complete = false;
            }
        }
    }
    let is_json = inspect.format == "json";
    let told = match is_json {
        true => Told::Json(&found),
        false => {
            let lines = found.iter().map(|dossier| fill(&inspect.format, dossier));
            let lines: Result<Vec<_>, _> = lines.collect();
            Told::Lines(lines.map_err(|error| Failure::Usage(error.to_string()))?)
        }
    };
    if is_json || !found.is_empty() {
        print(&told, is_json)?;
    }
    match complete {
        true => Ok(()),
        false => Err(Failure::Reported),
    }
}

/// Returns a template filled in with the fields of a dossier.
fn fill(text: &str, dossier: &Dossier) -> Result<String, TemplateError> {
    let value = serde_json::to_value(dossier).unwrap_or_default();
    let none = Map::new();
    let fields: Vec<_> = value.as_object().unwrap_or(&none).keys().collect();
    Ok(Template::parse(text, &fields)?.fill(&value))
}

/// What is printed.
#[derive(Serialize)]
#[serde(untagged)]
enum Told<'d> {
    Json(&'d [Dossier]),
    Lines(Vec<String>),
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(_) => Ok(()),
            Self::Lines(lines) => f.write_str(&lines.join("\n")),
        }
    }
}
