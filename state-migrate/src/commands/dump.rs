//! `berth-migrate dump`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use berth::frontend::operator::Place;
use berth::frontend::say;
use berth::text;
use clap::Args;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::PrettyFormatter;

use super::{Failure, exit_code, progress};
use crate::bolt::{Bucket, Salvaged};
use crate::file;
use crate::ipam::dump;

/// How long to wait for the file's lock: Podman holds it for milliseconds.
const WAIT: Duration = Duration::from_secs(5);

const AFTER: &str = "\
The shape is {network: {\"ids\": {container: [address…]}, \"subnets\": {subnet: {address:
container, \"lastIP\": address}}}}. Whatever else is in the file is there as well: `hex:` and the
bytes for what is not text and for keys of a subnet that are not addresses, values beside a
network's buckets below \"values\", and the sequence of a bucket, if it has one, as `hex:`.

Exit codes:
  0  the file is whole, and printed
  1  it is damaged, or could not be read; with --salvage, something was skipped, each
     piece with a line on standard error
  2  the command line is wrong

Examples:
  berth-migrate dump | jq 'map_values(.ids | length)'
  berth-migrate dump --salvage /root/ipam.db.broken > rescued.json";

/// Arguments of `berth-migrate dump`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Dump {
    /// The file; by default the ipam.db of this user's Podman
    ///
    /// It is locked (shared) for as long as it takes to read it into memory.
    file: Option<PathBuf>,
    /// Print what can be read of a damaged file, and say what was skipped
    #[arg(long)]
    salvage: bool,
    #[command(flatten)]
    place: Place,
}

/// Prints the content.
///
/// # Errors
/// If the file, or part of it, cannot be read.
pub(super) fn run(dump: &Dump) -> Result<ExitCode, Failure> {
    let path = match &dump.file {
        Some(path) => path.clone(),
        None => dump.place.podman()?.delegation.config.join("ipam.db"),
    };
    let message = format!("reading {}", path.display());
    let Salvaged { root, skipped } = progress::watched(&message, || content(dump, &path))?;
    print(&root)?;
    let mut stderr = io::stderr().lock();
    for damage in &skipped {
        say(&mut stderr, &format!("skipped: {damage}"))?;
    }
    Ok(exit_code(skipped.is_empty()))
}

fn content(dump: &Dump, path: &Path) -> Result<Salvaged, Failure> {
    let bytes = file::read(path, WAIT)?;
    if dump.salvage {
        return Ok(file::salvage(&bytes, path)?);
    }
    let root = file::content(&bytes, path)?;
    Ok(Salvaged {
        root,
        skipped: Vec::new(),
    })
}

fn print(root: &Bucket) -> Result<(), Failure> {
    let mut document = Vec::new();
    let format = PrettyFormatter::with_indent(b" ");
    let mut json = Serializer::with_formatter(&mut document, format);
    dump::dump(root)
        .serialize(&mut json)
        .map_err(io::Error::from)?;
    let document = text::json(&String::from_utf8_lossy(&document));
    Ok(writeln!(io::stdout().lock(), "{document}")?)
}
