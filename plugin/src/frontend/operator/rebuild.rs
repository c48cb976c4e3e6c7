//! `berth rebuild`: a new lease store from what runs.

use std::io::{self, Write};

use clap::Args;

use super::{Failure, Place};
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
    let mut stdout = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut stdout, &rebuilt).map_err(io::Error::from)?;
        return Ok(writeln!(stdout)?);
    }
    for party in &rebuilt.adopted {
        writeln!(stdout, "adopted {party}")?;
    }
    if let Some(kept) = &rebuilt.kept {
        let kept = kept.display();
        writeln!(
            stdout,
            "the old lease store is kept in {kept}; remove it when you no longer need it"
        )?;
    }
    if rebuilt.reservations > 0 {
        let count = rebuilt.reservations;
        let reservations = if count == 1 {
            "reservation was"
        } else {
            "reservations were"
        };
        writeln!(stdout, "{count} {reservations} carried over")?;
    }
    let count = rebuilt.adopted.len();
    let containers = if count == 1 {
        "container"
    } else {
        "containers"
    };
    Ok(writeln!(
        stdout,
        "the new lease store knows {count} {containers}; they notice nothing"
    )?)
}
