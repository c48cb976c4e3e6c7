//! The keys that berth.conf knows. Its man page is made from these.

use crate::rules::options::{COOLDOWN, EXCLUDE, HOLD, ORDER, RESERVE, TTL};

/// Where the lease store is.
pub const STATE_DIRECTORY: &str = "state_directory";
/// Which engine keeps the leases.
pub const ENGINE: &str = "engine";
/// How long to wait for each lock.
pub const LOCK: &str = "lock";
/// How old the last collection may be before a setup starts one.
pub const COLLECTION: &str = "collection";

/// What a key is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An absolute path.
    Path,
    /// One of these words.
    Word(&'static [&'static str]),
    /// From one second to an hour.
    Wait,
    /// A value of the option of this name.
    Option,
    /// A list of values of the option of this name.
    List,
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// Its value if it is set nowhere.
    pub default: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
}

/// Outside of any table.
pub const GENERAL: &[Key] = &[
    Key {
        name: STATE_DIRECTORY,
        kind: Kind::Path,
        default: "berth in netavark's run directory",
        about: "Where the leases are, an absolute path. For root, in the files of the system; for \
                another user, in that user's own. A podman with a run directory of its own keeps \
                its leases there, whatever this says. BERTH_STATE_DIR comes before it. Change it \
                while no container runs: what is in the old directory is not moved.",
    },
    Key {
        name: ENGINE,
        kind: Kind::Word(&["redb", "sled"]),
        default: "redb",
        about: "What a new lease store is kept in: redb, or sled, which takes longer with every \
                lease. A store that is there stays as it is, whatever this says; berth rebuild \
                --engine changes it while containers run.",
    },
];

/// In `[waits]`.
pub const WAITS: &[Key] = &[
    Key {
        name: LOCK,
        kind: Kind::Wait,
        default: "30s",
        about: "How long a command waits for each lock that somebody else has, from 1s to 1h.",
    },
    Key {
        name: COLLECTION,
        kind: Kind::Wait,
        default: "150s",
        about: "How old the last collection may be, from 1s to 1h, before a container that \
                starts triggers one. The timer collects every minute.",
    },
];

const TIMES: [Key; 4] = [
    Key {
        name: COOLDOWN,
        kind: Kind::Option,
        default: "30s",
        about: "How long a released address rests before anyone may lease it.",
    },
    Key {
        name: HOLD,
        kind: Kind::Option,
        default: "24h",
        about: "How long a released address waits for its former holder to come back.",
    },
    Key {
        name: TTL,
        kind: Kind::Option,
        default: "1h",
        about: "How long a lease of unknown liveness is kept after it was last seen live; 1m \
                at least.",
    },
    Key {
        name: ORDER,
        kind: Kind::Option,
        default: "next",
        about: "Which free address comes next: next, lowest or random.",
    },
];

/// In `[defaults]`.
pub const DEFAULTS: &[Key] = &[
    TIMES[0],
    TIMES[1],
    TIMES[2],
    TIMES[3],
    Key {
        name: EXCLUDE,
        kind: Kind::List,
        default: "nothing",
        about: "Addresses, ranges (10.0.0.9-10.0.0.20) and subnets that are never leased \
                dynamically, whatever network they are on.",
    },
];

/// In `[network.NAME]`.
pub const NETWORK: &[Key] = &[
    TIMES[0],
    TIMES[1],
    TIMES[2],
    TIMES[3],
    Key {
        name: EXCLUDE,
        kind: Kind::List,
        default: "nothing",
        about: "Addresses, ranges and subnets of this network that are never leased \
                dynamically.",
    },
    Key {
        name: RESERVE,
        kind: Kind::List,
        default: "nothing",
        about: "Addresses reserved for good, for one container (10.0.0.9=web) or for none \
                (10.0.0.10 # the printer), as with berth reserve.",
    },
];
