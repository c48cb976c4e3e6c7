//! What to do at damage: stop, or note it and go on.

use super::Damage;

/// More than a person reads, and a bound for files that are damaged everywhere.
const MAX_NOTES: usize = 1000;
/// How much of a bucket's name is said.
const MAX_NAME: usize = 64;

/// What is done at damage.
#[derive(Debug)]
pub(super) enum Notes {
    /// It ends the reading.
    Refuse,
    /// It is noted, and the reading goes on.
    Keep {
        /// The first thousand.
        noted: Vec<Damage>,
        /// How many came after them, and the last page.
        more: usize,
    },
}

impl Notes {
    /// None yet, and every damage is noted.
    pub(super) fn keep() -> Self {
        Self::Keep {
            noted: Vec::new(),
            more: 0,
        }
    }

    /// Takes damage, below the buckets of a path.
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

/// Says in which bucket something is damaged. Two levels are all that Podman has.
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
