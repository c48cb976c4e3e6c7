//! The options of netavark's own drivers: their names, values and spelling.

use std::collections::BTreeMap;
use std::str::FromStr;

use thiserror::Error;

use super::Asker;
use crate::protocol::Network;
use crate::rules::options::{self, Plumbing};

const BCLIM: &str = "bclim";
const ISOLATE: &str = "isolate";
const METRIC: &str = "metric";
const MODE: &str = "mode";
const MTU: &str = "mtu";
const NO_DEFAULT_ROUTE: &str = "no_default_route";
const PARENT: &str = "parent";
const VLAN: &str = "vlan";
const VRF: &str = "vrf";

/// Docker's names for two settings of a bridge.
const DOCKER_MTU: &str = "com.docker.network.driver.mtu";
const DOCKER_BRIDGE: &str = "com.docker.network.bridge.name";

/// The mode of a bridge that netavark neither makes nor removes.
const UNMANAGED: &str = "unmanaged";
/// The highest VLAN id (IEEE 802.1Q: 4095 is reserved).
const LAST_VLAN: i64 = 4094;

/// Why an option of netavark's driver is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DriverOptionError {
    #[error("unsupported {plumbing} network option{} known are {}", told(.name, *.asker), known(*.plumbing).join(", "))]
    Unknown {
        plumbing: Plumbing,
        name: String,
        asker: Asker,
    },
    #[error("unknown {plumbing} mode {mode:?}: it must be {}", modes(*.plumbing).join(" or "))]
    Mode { plumbing: Plumbing, mode: String },
    /// It is not a number, or is too large or too small for netavark.
    #[error("failed to parse {name:?} option: parsing {value:?}: {problem}")]
    NotANumber {
        name: &'static str,
        value: String,
        /// What is wrong, in Go's words.
        problem: &'static str,
    },
    #[error(
        "failed to parse {name} option: parsing {value:?}: invalid syntax; it must be {allowed}"
    )]
    NotABool {
        name: &'static str,
        value: String,
        allowed: &'static str,
    },
    #[error("mtu {0} is less than zero")]
    Mtu(i64),
    #[error("vlan ID {0} must be between 0 and {LAST_VLAN}")]
    Vlan(i64),
    #[error("invalid vrf name: it is empty; leave the option out to use none")]
    Vrf,
}

/// Returns an unknown option's name with the punctuation around it.
fn told(name: &str, asker: Asker) -> String {
    match asker {
        Asker::Podman => format!(" {name}:"),
        Asker::Netavark => format!(": {name};"),
    }
}

/// Returns the option names of a driver of netavark's (Podman 5.4; netavark 2.1.0 the same).
const fn names(plumbing: Plumbing) -> &'static [&'static str] {
    match plumbing {
        Plumbing::Bridge => &[ISOLATE, METRIC, MODE, MTU, NO_DEFAULT_ROUTE, VLAN, VRF],
        Plumbing::Macvlan => &[BCLIM, METRIC, MODE, MTU, NO_DEFAULT_ROUTE],
        Plumbing::Ipvlan => &[METRIC, MODE, MTU, NO_DEFAULT_ROUTE],
    }
}

/// Returns all option names that a user may give.
fn known(plumbing: Plumbing) -> Vec<&'static str> {
    let parent: &[&str] = match plumbing {
        Plumbing::Bridge => &[],
        Plumbing::Macvlan | Plumbing::Ipvlan => &[PARENT],
    };
    [&options::KNOWN, names(plumbing), parent].concat()
}

const fn modes(plumbing: Plumbing) -> &'static [&'static str] {
    match plumbing {
        Plumbing::Bridge => &["managed", UNMANAGED],
        Plumbing::Macvlan => &["bridge", "private", "vepa", "passthru"],
        Plumbing::Ipvlan => &["l2", "l3", "l3s"],
    }
}

/// Replaces Docker's names with Podman's. If both are given, Docker's win.
pub(super) fn take_docker_names(network: &mut Network) {
    if let Some(mtu) = network.options.remove(DOCKER_MTU) {
        network.options.insert(MTU.to_owned(), mtu);
    }
    if let Some(bridge) = network.options.remove(DOCKER_BRIDGE) {
        network.network_interface = Some(bridge);
    }
}

/// Moves the option `parent` to where the parent interface belongs. Podman's command line does
/// so only for drivers named macvlan and ipvlan.
pub(super) fn take_parent(network: &mut Network) {
    if let Some(parent) = network.options.remove(PARENT) {
        network.network_interface = Some(parent);
    }
}

/// Checks the options of the driver, and spells their values as netavark wants them. Leaves our
/// own options alone, and refuses names that neither the driver nor berth knows.
///
/// Returns whether the network may share its bridge and its subnets with others, because it is
/// on another VLAN or on an unmanaged bridge. Podman 5.4 refuses shared subnets, and the second
/// use of an unmanaged bridge; 5.5 refuses neither (`networkCreate`, podman#25736 and
/// common#2322), and neither do we.
pub(super) fn normalise(
    options: &mut BTreeMap<String, String>,
    plumbing: Plumbing,
    asker: Asker,
) -> Result<bool, DriverOptionError> {
    let all_known = known(plumbing);
    if let Some(name) = options
        .keys()
        .find(|name| !all_known.contains(&name.as_str()))
    {
        return Err(DriverOptionError::Unknown {
            plumbing,
            name: name.clone(),
            asker,
        });
    }
    // Podman takes an empty value as "not set", netavark as a bad number.
    options.retain(|name, value| !(value.is_empty() && (name == MTU || name == VLAN)));
    match integer(options, MTU, i64::from(u32::MAX))? {
        Some(mtu) if mtu < 0 => return Err(DriverOptionError::Mtu(mtu)),
        _ => {}
    }
    let vlan = match integer(options, VLAN, i64::MAX)? {
        Some(vlan) if !(0..=LAST_VLAN).contains(&vlan) => {
            return Err(DriverOptionError::Vlan(vlan));
        }
        vlan => vlan.unwrap_or(0),
    };
    number::<u32>(options, METRIC)?;
    number::<i32>(options, BCLIM)?;
    if options.get(VRF).is_some_and(String::is_empty) {
        return Err(DriverOptionError::Vrf);
    }
    boolean(options, NO_DEFAULT_ROUTE, "true or false", &[])?;
    boolean(
        options,
        ISOLATE,
        "true, false or strict",
        &[("", "false"), ("strict", "strict")],
    )?;
    let mode = options.get(MODE);
    if let Some(mode) = mode
        && !modes(plumbing).contains(&mode.as_str())
    {
        return Err(DriverOptionError::Mode {
            plumbing,
            mode: mode.clone(),
        });
    }
    Ok(vlan > 0 || mode.is_some_and(|mode| mode == UNMANAGED))
}

/// Reads a number, which may be absent.
fn number<T: FromStr<Err = std::num::ParseIntError>>(
    options: &BTreeMap<String, String>,
    name: &'static str,
) -> Result<Option<T>, DriverOptionError> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let Some(value) = options.get(name) else {
        return Ok(None);
    };
    value
        .parse()
        .map(Some)
        .map_err(|error: T::Err| DriverOptionError::NotANumber {
            name,
            value: value.clone(),
            problem: match error.kind() {
                PosOverflow | NegOverflow => OUT_OF_RANGE,
                _ => "invalid syntax",
            },
        })
}

const OUT_OF_RANGE: &str = "value out of range";

/// Reads a number up to `last`, itself allowed.
fn integer(
    options: &BTreeMap<String, String>,
    name: &'static str,
    last: i64,
) -> Result<Option<i64>, DriverOptionError> {
    match number::<i64>(options, name)? {
        Some(value) if value > last => Err(DriverOptionError::NotANumber {
            name,
            value: value.to_string(),
            problem: OUT_OF_RANGE,
        }),
        value => Ok(value),
    }
}

/// Spells a truth value as Rust does: Go, and therefore Podman, also reads `1` and `T`
/// (`strconv.ParseBool`). `special` lists further values and their spelling.
fn boolean(
    options: &mut BTreeMap<String, String>,
    name: &'static str,
    allowed: &'static str,
    special: &[(&str, &'static str)],
) -> Result<(), DriverOptionError> {
    let Some(value) = options.get_mut(name) else {
        return Ok(());
    };
    let spelled = match value.as_str() {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => "true",
        "0" | "f" | "F" | "FALSE" | "false" | "False" => "false",
        other => match special.iter().find(|(given, _)| *given == other) {
            Some((_, spelled)) => spelled,
            None => {
                return Err(DriverOptionError::NotABool {
                    name,
                    value: value.clone(),
                    allowed,
                });
            }
        },
    };
    spelled.clone_into(value);
    Ok(())
}
