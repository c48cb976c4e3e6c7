//! `berth rebuild`: a new lease store from what runs.

use std::io;

use clap::Args;

use super::{Failure, Place};
use crate::frontend::{print_json, say};
use crate::upkeep::rebuild;

/// Arguments of `berth rebuild`.
#[derive(Debug, Args)]
pub struct Rebuild {
    /// Make a new store even if the present one is sound
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Rebuilds, and says what the new store knows.
///
/// # Errors
/// If the old store is sound, or what runs cannot be seen; nothing is changed then.
pub(super) fn run(arguments: &Rebuild) -> Result<(), Failure> {
    let rebuilt = rebuild::rebuild(&arguments.place.podman()?, arguments.force)?;
    if arguments.json {
        return Ok(print_json(&rebuilt)?);
    }
    let say = |text: String| say(&mut io::stdout(), &text);
    for party in &rebuilt.adopted {
        say(format!("adopted {party}"))?;
    }
    if let Some(kept) = &rebuilt.kept {
        let kept = kept.display();
        say(format!(
            "the old lease store is kept in {kept}; remove it when you no longer need it"
        ))?;
    }
    if rebuilt.reservations > 0 {
        let count = rebuilt.reservations;
        let reservations = if count == 1 {
            "reservation was"
        } else {
            "reservations were"
        };
        say(format!("{count} {reservations} carried over"))?;
    }
    let count = rebuilt.adopted.len();
    let containers = if count == 1 {
        "container"
    } else {
        "containers"
    };
    Ok(say(format!(
        "the new lease store knows {count} {containers}; they notice nothing"
    ))?)
}
