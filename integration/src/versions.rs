//! How Podman and netavark themselves differ from version to version.
//!
//! Only this module knows about versions. A test asks [`Lab::does`] about the behaviour that it
//! depends on, and shows that behaviour with Podman's own driver.

use std::fmt;

use crate::Lab;

/// Something that not every version does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// `podman network reload` of a container with a static address fails with Podman's
    /// own driver.
    ReloadRefusesStaticAddresses,
    /// Nothing listens on a published port of a bridge network: without the firewall's
    /// rules, a connection is refused. In other versions conmon listens, and never answers.
    PublishedPortsAreHeldByNobody,
    /// netavark's teardown fails if the container's namespace is gone. So Podman's own driver
    /// leaves the firewall's rules, and a plugin is not called.
    TeardownNeedsTheNamespace,
    /// `podman network create` leaves it to netavark to look for the driver's plugin.
    NetavarkLooksForPlugins,
}

/// The program whose version decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Podman,
    Netavark,
}

/// A behaviour, and the versions that have it: from the first (included) to the second (not
/// included).
struct Entry {
    behaviour: Behaviour,
    program: Program,
    since: Version,
    before: Version,
}

/// The behaviours, each with its reason.
const TABLE: &[Entry] = &[
    // Podman 6 takes the address from its own allocation again before giving it back.
    Entry {
        behaviour: Behaviour::ReloadRefusesStaticAddresses,
        program: Program::Podman,
        since: Version(6, 0),
        before: Version::NEWEST,
    },
    // Podman 6 no longer binds the ports for conmon to hold.
    Entry {
        behaviour: Behaviour::PublishedPortsAreHeldByNobody,
        program: Program::Podman,
        since: Version(6, 0),
        before: Version::NEWEST,
    },
    // Since 2.1, netavark's teardown warns about a missing namespace and no longer fails.
    Entry {
        behaviour: Behaviour::TeardownNeedsTheNamespace,
        program: Program::Netavark,
        since: Version(0, 0),
        before: Version(2, 1),
    },
    // Podman 6 has netavark create networks.
    Entry {
        behaviour: Behaviour::NetavarkLooksForPlugins,
        program: Program::Podman,
        since: Version(6, 0),
        before: Version::NEWEST,
    },
];

/// Major and minor number of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    const NEWEST: Self = Self(u32::MAX, u32::MAX);

    /// Finds the first version in what a program prints.
    fn find(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| {
            let mut numbers = word.trim_start_matches('v').split('.');
            let major = numbers.next()?.parse().ok()?;
            Some(Self(major, numbers.next()?.parse().ok()?))
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Lab {
    /// Returns whether this lab's Podman, or its netavark, behaves in this way.
    ///
    /// # Panics
    /// If it does not print its version.
    #[track_caller]
    pub fn does(&self, behaviour: Behaviour) -> bool {
        let mut entries = TABLE.iter().filter(|entry| entry.behaviour == behaviour);
        entries.any(|entry| {
            let version = match entry.program {
                Program::Podman => self.podman_version(),
                Program::Netavark => version(&self.cmd(&self.netavark()).arg("--version").ok()),
            };
            (entry.since..entry.before).contains(&version)
        })
    }

    /// Returns what `podman network create` says if there is no plugin for this driver.
    #[track_caller]
    pub fn says_without_a_plugin(&self, driver: &str) -> String {
        if self.does(Behaviour::NetavarkLooksForPlugins) {
            format!("plugin for driver {driver:?} not found in plugin directories")
        } else {
            format!("failed to find driver or plugin {driver:?}")
        }
    }

    /// Returns Podman's version.
    ///
    /// # Panics
    /// If it does not print one.
    #[track_caller]
    pub fn podman_version(&self) -> Version {
        version(&self.podman(["--version"]).ok())
    }
}

#[track_caller]
fn version(text: &str) -> Version {
    Version::find(text).unwrap_or_else(|| panic!("there is no version in `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        assert_eq!(Version::find("podman version 5.4.2"), Some(Version(5, 4)));
        assert_eq!(Version::find("netavark 2.0.0-dev"), Some(Version(2, 0)));
        assert_eq!(Version::find("v6.1\n"), Some(Version(6, 1)));
        assert_eq!(Version::find("no version"), None);
        assert!(Version(5, 10) > Version(5, 8));
    }
}
