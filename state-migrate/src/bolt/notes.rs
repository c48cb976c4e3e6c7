//! What to do on damage: stop, or note it and go on.

use super::Damage;

/// More notes than anyone reads, and a bound for files that are damaged everywhere.
const MAX_NOTES: usize = 1000;
/// How much of a bucket's name is shown.
const MAX_NAME: usize = 64;

/// What to do on damage.
#[derive(Debug)]
pub(super) enum Notes {
    /// Damage ends the reading.
    Refuse,
    /// Damage is noted, and the reading goes on.
    Keep {
        /// The first thousand notes.
        noted: Vec<Damage>,
        /// How many came after them, and the last page.
        more: usize,
    },
}

impl Notes {
    /// Returns the kind that notes all damage, with no notes yet.
    pub(super) fn keep() -> Self {
        Self::Keep {
            noted: Vec::new(),
            more: 0,
        }
    }

    /// Handles damage, below the buckets of a path.
    pub(super) fn take(&mut self, damage: Damage, path: &[&[u8]]) -> Result<(), Damage> {
        match self {
            Self::Refuse => Err(within(damage, path)),
            Self::Keep { noted, .. } if noted.len() < MAX_NOTES => {
                noted.push(within(damage, path));
                Ok(())
            }
            Self::Keep { more, .. } => {
                *more += 1;
                Ok(())
            }
        }
    }

    /// Returns whether nothing was noted.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Refuse => true,
            Self::Keep { noted, .. } => noted.is_empty(),
        }
    }

    /// Returns what was noted.
    pub(super) fn finish(self) -> Vec<Damage> {
        let Self::Keep { mut noted, more } = self else {
            return Vec::new();
        };
        if let (Some(last), 1..) = (noted.last(), more) {
            let problem = format!("and {more} more problems like this one");
            noted.push(Damage {
                page: last.page,
                problem,
            });
        }
        noted
    }
}

/// Adds the bucket in which something is damaged. Podman has only two levels.
fn within(mut damage: Damage, path: &[&[u8]]) -> Damage {
    let mut names = path.iter().take(3).map(|name| match name.get(..MAX_NAME) {
        Some(start) => format!("{}…", start.escape_ascii()),
        None => name.escape_ascii().to_string(),
    });
    if let Some(first) = names.next() {
        let path = names.fold(first, |path, name| path + " / " + &name);
        damage.problem = format!("{} (in bucket {path})", damage.problem);
    }
    damage
}
