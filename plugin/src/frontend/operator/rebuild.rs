//! `berth rebuild`: a new lease store from what is running.

use std::io;

use clap::Args;

use super::{Failure, Place};
use crate::frontend::{print_json, say};
use crate::lifecycle::session::engine as engine_of_new_stores;
use crate::store::EngineKind;
use crate::upkeep::rebuild;

/// Arguments of `berth rebuild`.
#[derive(Debug, Args)]
pub struct Rebuild {
    /// Make a new store even if the present one is sound
    #[arg(long)]
    force: bool,
    /// The storage engine to use; a sound store is moved to it with everything in it
    #[arg(long, value_name = "NAME", value_parser = EngineKind::ALL.map(EngineKind::name))]
    engine: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Rebuilds, and prints what the new store knows.
///
/// # Errors
/// If the old store is sound, or berth cannot see what is running; nothing is changed
/// then.
pub(super) fn run(arguments: &Rebuild) -> Result<(), Failure> {
    let podman = arguments.place.podman()?;
    let engine = arguments.engine.as_deref().and_then(EngineKind::named);
    let rebuilt = rebuild::rebuild(&podman, arguments.force, engine)?;
    if arguments.json {
        return Ok(print_json(&rebuilt)?);
    }
    let say = |text: String| say(&mut io::stdout(), &text);
    let now = rebuilt.engine;
    if let Some(was) = rebuilt.was {
        say(match was == now {
            true => format!("the lease store is kept in {now} already"),
            false => format!(
                "the lease store is kept in {now} now, with all that it held in {was}; \
                 containers notice nothing"
            ),
        })?;
    }
    let next = engine_of_new_stores(&podman).name();
    if next != now {
        say(format!(
            "a new one, as after a reboot, will be kept in {next}: \
             engine = \"{now}\" in berth.conf changes that"
        ))?;
    }
    if rebuilt.was.is_some() {
        return Ok(());
    }
    for party in &rebuilt.adopted {
        say(format!("adopted {party}"))?;
    }
    for kept in &rebuilt.kept {
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
