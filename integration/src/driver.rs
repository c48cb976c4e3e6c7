//! Which driver a test's networks use.

use std::fmt;

/// A network driver: Podman's own or ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Podman's own bridge driver, with Podman's own address allocation.
    Bridge,
    /// The plugin.
    Berth,
    /// Podman's own bridge driver, with berth in front of netavark.
    HostWide,
}

impl Driver {
    /// Returns its name in tables.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Berth => "berth",
            Self::HostWide => "host-wide",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bridge | Self::HostWide => "bridge",
            Self::Berth => "berth",
        })
    }
}
