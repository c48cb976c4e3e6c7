//! Who has held which address: from the history's file, and from the store for those that
//! still have one.
//!
//! Never: let a file that cannot be read keep a person from seeing the rest.

use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use super::is_beginning;
use crate::lifecycle::session::read_store;
use crate::podman::Podman;
use crate::rules::history::{Holder, Line, Spell, Tally, spells};
use crate::sight::{self, ClockError};
use crate::store::{History, Mark, Recorded, Snapshot};

/// How this command introduces itself to others that wait for the store.
const WHO: &str = "reading who had which address";

/// Pause between two looks at a history that is being followed.
const PAUSE: Duration = Duration::from_millis(500);

/// What a person wants to know about.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Addresses, containers' names or the beginnings of their ids, networks' names or ids.
    /// A match with any of them is enough. If there are none, everything matches.
    pub words: Vec<String>,
    /// Only on this network, by name or id.
    pub network: Option<String>,
    /// Leaves out what ended before this time, in milliseconds since the Unix epoch.
    pub since: u64,
}

impl Subject {
    /// Returns whether a person means this holder, or one of these addresses.
    fn is(&self, holder: &Holder, addresses: impl Iterator<Item = IpAddr> + Clone) -> bool {
        let is_network = |word: &String| *word == holder.network || *word == holder.network_id;
        let is_container = |word: &String| {
            *word == holder.container_name || is_beginning(word, &holder.container_id)
        };
        let is_meant = |word: &String| match word.parse::<IpAddr>() {
            Ok(wanted) => addresses.clone().any(|address| address == wanted),
            Err(_) => is_network(word) || is_container(word),
        };
        self.network.as_ref().is_none_or(is_network)
            && (self.words.is_empty() || self.words.iter().any(is_meant))
    }

    fn is_spell(&self, spell: &Spell) -> bool {
        let is_over = spell.until.is_some_and(|until| until < self.since);
        !is_over && self.is(&spell.holder, std::iter::once(spell.address))
    }

    fn is_line(&self, line: &Line) -> bool {
        let holder = line.holder();
        line.at() >= self.since
            && match holder {
                Some(holder) => {
                    let addresses = holder.addresses.iter();
                    self.is(holder, addresses.map(|(address, _)| *address))
                }
                // A failure has no address.
                None => self.words.is_empty() && self.network.is_none(),
            }
    }
}

/// Returns who has held what a person asks about, in the order in which they got it. Warns
/// of whatever cannot be read.
///
/// # Errors
/// If the kernel does not tell which boot this is.
pub fn tell(podman: &Podman, subject: &Subject) -> Result<Vec<Spell>, ClockError> {
    let boot_id = sight::boot_id()?;
    // The file as it was when the store was read: what has begun or ended since then is in
    // neither.
    let read = read_store(podman, WHO, |transaction| {
        Ok((transaction.all_tenants()?, snapshot(podman)))
    });
    let (present, snapshot) = match read {
        Ok(Some((tenants, snapshot))) => (Some(tenants), snapshot),
        Ok(None) => (Some(Vec::new()), snapshot(podman)),
        Err(error) => {
            log::warn!("what is held now is not known: {}", crate::chain(&error));
            (None, snapshot(podman))
        }
    };
    let recorded = read_lines(podman, snapshot, Mark::default());
    let mut spells = spells(&recorded.lines, present.as_deref(), &boot_id);
    spells.retain(|spell| subject.is_spell(spell));
    Ok(spells)
}

/// Returns the numbers of a whole history. Warns of whatever cannot be read.
pub fn tally(podman: &Podman) -> Tally {
    let recorded = read_lines(podman, snapshot(podman), Mark::default());
    Tally::of(&recorded.lines)
}

/// Calls `say` for everything noted about what a person asks about: first for what is
/// already noted, then for each line as it arrives, until `say` fails. Takes no lock.
///
/// # Errors
/// What `say` returns.
pub fn follow(
    podman: &Podman,
    subject: &Subject,
    mut say: impl FnMut(&Line) -> io::Result<()>,
) -> io::Result<()> {
    let mut mark = Mark::default();
    let mut last: Option<Line> = None;
    loop {
        let recorded = read_lines(podman, snapshot(podman), mark);
        let mut lines = &recorded.lines[..];
        // The file was rewritten, and contains again what was said before.
        if recorded.is_all
            && let Some(at) = lines.iter().rposition(|line| Some(line) == last.as_ref())
        {
            lines = &lines[at + 1..];
        }
        for line in lines.iter().filter(|line| subject.is_line(line)) {
            say(line)?;
        }
        mark = recorded.end;
        last = lines.last().cloned().or(last);
        thread::sleep(PAUSE);
    }
}

fn snapshot(podman: &Podman) -> io::Result<Snapshot> {
    History::at(podman.history_file.clone()).snapshot()
}

/// Reads as much as can be read.
fn read_lines(podman: &Podman, snapshot: io::Result<Snapshot>, since: Mark) -> Recorded {
    let path = podman.history_file.display();
    match snapshot.and_then(|snapshot| snapshot.read(since)) {
        Ok(recorded) => {
            if recorded.damaged > 0 {
                log::warn!("{} lines of {path} cannot be read", recorded.damaged);
            }
            recorded
        }
        Err(error) => {
            log::warn!("what was held before is not known: failed to read {path}: {error}");
            Recorded::default()
        }
    }
}
