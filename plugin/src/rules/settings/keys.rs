//! The keys that berth.conf knows. Its man page is generated from these.

use crate::rules::options::{COOLDOWN, EXCLUDE, HOLD, ORDER, RESERVE, SHARE as SHARE_OPTION, TTL};

/// Where the lease store is.
pub const STATE_DIRECTORY: &str = "state_directory";
/// Which engine keeps the leases.
pub const ENGINE: &str = "engine";
/// How long to wait for each lock.
pub const LOCK: &str = "lock";
/// How old the last collection may be before a setup starts one.
pub const COLLECTION: &str = "collection";
/// Where a share's etcd listens.
pub const ENDPOINTS: &str = "endpoints";
/// The prefix of the names of all keys in etcd.
pub const PREFIX: &str = "prefix";
/// The authority that has signed etcd's certificates.
pub const CA: &str = "ca";
/// The certificate that this host shows to etcd.
pub const CERTIFICATE: &str = "certificate";
/// The certificate's private key.
pub const KEY: &str = "key";
/// What other hosts call this one.
pub const HOST: &str = "host";
/// How long to wait for a connection to one endpoint.
pub const CONNECT: &str = "connect";
/// How long to wait for one endpoint's answer.
pub const ATTEMPT: &str = "attempt";
/// How long to wait for etcd in all.
pub const TOTAL: &str = "total";
/// How long etcd is left alone after that.
pub const BREAKER: &str = "breaker";
/// How long after its last sign of life a host still counts as there.
pub const LEASE: &str = "lease";

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An absolute path.
    Path,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A time from one second to an hour.
    Wait,
    /// A value of the option of this name.
    Option,
    /// A list of values of the option of this name.
    List,
    /// A list of places where etcd listens.
    Endpoints,
    /// Some words.
    Text,
    /// A time between these two, in milliseconds, both allowed.
    Time(u64, u64),
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// Its value if it is not set.
    pub default: &'static str,
    /// What the key does, in a sentence or two.
    pub about: &'static str,
}

/// The keys outside any table.
pub const GENERAL: &[Key] = &[
    Key {
        name: STATE_DIRECTORY,
        kind: Kind::Path,
        default: "berth in netavark's run directory",
        about: "The directory of the lease store, an absolute path. Root sets it in the system's \
                files, other users in their own. A podman with a run directory of its own keeps \
                its leases there regardless. BERTH_STATE_DIR overrides it. Change it only while \
                no container runs: the contents of the old directory are not moved.",
    },
    Key {
        name: ENGINE,
        kind: Kind::Word(&["redb", "sled"]),
        default: "redb",
        about: "What a new lease store is kept in: redb, or sled, which takes longer with every \
                lease. An existing store keeps its engine, whatever this says; berth rebuild \
                --engine changes it, even while containers run.",
    },
];

/// The keys in `[waits]`.
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

/// The keys in `[defaults]`.
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

/// The keys in `[network.NAME]`.
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
    Key {
        name: SHARE_OPTION,
        kind: Kind::Option,
        default: "none",
        about: "The share in which other hosts lease addresses of the same network: the NAME of a \
                table [share.NAME].",
    },
];

/// The keys in `[share.NAME]`.
pub const SHARE: &[Key] = &[
    Key {
        name: ENDPOINTS,
        kind: Kind::Endpoints,
        default: "nothing",
        about: "Where etcd listens, as in https://etcd1.example:2379. berth asks the first one \
                first.",
    },
    Key {
        name: CA,
        kind: Kind::Path,
        default: "nothing",
        about: "The certificate of the authority that has signed etcd's certificates, a file in \
                PEM. With https this, certificate and key are needed.",
    },
    Key {
        name: CERTIFICATE,
        kind: Kind::Path,
        default: "nothing",
        about: "This host's certificate for etcd, a file in PEM.",
    },
    Key {
        name: KEY,
        kind: Kind::Path,
        default: "nothing",
        about: "The certificate's private key, a file in PEM.",
    },
    Key {
        name: PREFIX,
        kind: Kind::Text,
        default: "/berth/v1",
        about: "What the names of all keys in etcd begin with; the same on every host.",
    },
    Key {
        name: HOST,
        kind: Kind::Text,
        default: "the host name",
        about: "What other hosts' messages call this host.",
    },
    Key {
        name: CONNECT,
        kind: Kind::Time(10, 60_000),
        default: "500ms",
        about: "How long to wait for a connection to one endpoint.",
    },
    Key {
        name: ATTEMPT,
        kind: Kind::Time(10, 60_000),
        default: "1s",
        about: "How long to wait for one endpoint's answer.",
    },
    Key {
        name: TOTAL,
        kind: Kind::Time(10, 60_000),
        default: "4s",
        about: "How long a container that starts waits for etcd in all.",
    },
    Key {
        name: BREAKER,
        kind: Kind::Time(0, 3_600_000),
        default: "10s",
        about: "How long containers fail at once after etcd has not answered in time.",
    },
    Key {
        name: LEASE,
        kind: Kind::Time(1_000, 31_536_000_000),
        default: "1h",
        about: "How long after its last command this host still counts as alive. It can be evicted \
                only after that.",
    },
];
