//! Which engines there are, and the names of their stores.

use std::path::{Path, PathBuf};

use crate::store::lock::LOCK;

/// The engine of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    #[default]
    Redb,
    /// berth's first engine.
    Sled,
}

/// What an entry of the state directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Lock,
    Store,
    /// A store that was never finished.
    Unfinished,
    /// A store that `berth rebuild` moved aside.
    Aside,
    /// Something that berth did not make.
    Foreign,
}

impl EngineKind {
    /// Every engine.
    pub const ALL: [Self; 2] = [Self::Redb, Self::Sled];

    /// Returns the engine's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            Self::Sled => "sled",
        }
    }

    /// Returns the engine of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns where the engine's store is in a state directory.
    pub fn store_in(self, dir: &Path) -> PathBuf {
        dir.join(self.file_name())
    }

    /// Returns where the engine's store is while it is being made.
    pub(super) fn unfinished_in(self, dir: &Path) -> PathBuf {
        dir.join(self.file_name() + NEW)
    }

    /// Returns where `berth rebuild` keeps an old store.
    pub(in crate::store) fn aside_in(self, dir: &Path, wall_ms: u64) -> PathBuf {
        dir.join(format!("{}.damaged-{wall_ms}", self.file_name()))
    }

    fn file_name(self) -> String {
        format!("leases.{}", self.name())
    }
}

/// The suffix of the name of a store that is being made.
const NEW: &str = ".new";

impl Name {
    /// Returns what an entry of the state directory is.
    pub fn of(name: &str) -> Self {
        if name == LOCK {
            return Self::Lock;
        }
        for kind in EngineKind::ALL {
            match name.strip_prefix(&kind.file_name()) {
                Some("") => return Self::Store,
                Some(NEW) => return Self::Unfinished,
                Some(_) => return Self::Aside,
                None => {}
            }
        }
        Self::Foreign
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::settings::keys::{ENGINE, GENERAL, Kind};

    #[test]
    #[allow(clippy::unwrap_used)]
    fn berth_conf_knows_every_engine_and_the_default() {
        let key = GENERAL.iter().find(|key| key.name == ENGINE).unwrap();
        let names = EngineKind::ALL.map(EngineKind::name);
        assert!(matches!(key.kind, Kind::Word(known) if known == names));
        assert_eq!(key.default, EngineKind::default().name());
        for kind in EngineKind::ALL {
            assert_eq!(EngineKind::named(kind.name()), Some(kind));
        }
    }
}
