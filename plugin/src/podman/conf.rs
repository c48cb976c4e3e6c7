//! The settings in containers.conf that berth needs.
//!
//! [`layers`] says which files there are, and in which order. Later ones win key by key, for
//! lists too unless they say `{append=true}`. Modules (`podman --module`) are not read.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde::Deserialize;
use thiserror::Error;

use crate::rules::network_config::{SubnetPool, SubnetPoolError, SubnetPools};

use super::{Environment, layers};

/// Name of the default network if `default_network` is not set.
const DEFAULT_NETWORK: &str = "podman";
/// Subnet of the default network if `default_subnet` is not set.
const DEFAULT_SUBNET: &str = "10.88.0.0/16";

/// Where Podman looks for helper binaries, netavark among them (5.4, Linux).
const HELPER_BINARIES_DIRS: [&str; 4] = [
    "/usr/local/libexec/podman",
    "/usr/local/lib/podman",
    "/usr/libexec/podman",
    "/usr/lib/podman",
];

/// Where netavark's plugins are looked for (5.4).
const NETAVARK_PLUGIN_DIRS: [&str; 4] = [
    "/usr/local/libexec/netavark",
    "/usr/libexec/netavark",
    "/usr/local/lib/netavark",
    "/usr/lib/netavark",
];

/// Why the configuration cannot be used. Each error names the file.
#[derive(Debug, Error)]
pub enum ConfError {
    /// A file or directory exists but cannot be read, or must exist but does not.
    #[error("failed to read {}{}", path.display(), named_by(*variable))]
    Read {
        path: PathBuf,
        /// The environment variable that names it, if one does.
        variable: Option<&'static str>,
        #[source]
        source: std::io::Error,
    },
    /// A file is not TOML, or a value has the wrong type.
    #[error("failed to parse {}{}: {message}", path.display(), at_line(*line))]
    Parse {
        path: PathBuf,
        /// The line of the fault, counted from 1, if known.
        line: Option<usize>,
        /// What is wrong, on one line.
        message: String,
    },
    #[error("failed to use default_subnet_pools of {}", path.display())]
    SubnetPool {
        path: PathBuf,
        #[source]
        source: SubnetPoolError,
    },
}

fn named_by(variable: Option<&str>) -> String {
    variable.map_or_else(String::new, |name| format!(", named by ${name}"))
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" line {line}"))
}

/// The settings of containers.conf that concern networks, with Podman's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainersConf {
    /// `network.default_subnet_pools`: where new subnets come from.
    pub subnet_pools: SubnetPools,
    /// `network.network_config_dir`, if set.
    pub network_config_dir: Option<PathBuf>,
    /// `network.default_network`, which may exist in Podman's memory only.
    pub default_network: String,
    /// `network.default_subnet`: the subnet of the default network.
    pub default_subnet: String,
    /// `network.netavark_plugin_dirs`, in search order.
    pub netavark_plugin_dirs: Vec<PathBuf>,
    /// `network.firewall_driver`, if set; Podman passes it on as `NETAVARK_FW`.
    pub firewall_driver: Option<String>,
    /// `engine.helper_binaries_dir`, in search order.
    pub helper_binaries_dir: Vec<PathBuf>,
}

impl Default for ContainersConf {
    fn default() -> Self {
        Layers::default().finish()
    }
}

impl ContainersConf {
    /// Reads and layers the files of this environment. Absent files are not an error, unless a
    /// variable names them.
    ///
    /// # Errors
    /// [`ConfError`] for a file that cannot be read or understood.
    pub fn load(environment: &Environment) -> Result<Self, ConfError> {
        let mut layers = Layers::default();
        let files = layers::files(environment, &layers::CONTAINERS);
        let files = files.map_err(|unlisted| ConfError::Read {
            path: unlisted.path,
            variable: None,
            source: unlisted.source,
        })?;
        for (path, variable) in files {
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound && variable.is_none() => continue,
                Err(source) => {
                    return Err(ConfError::Read {
                        path,
                        variable,
                        source,
                    });
                }
            };
            layers.add(&path, &text)?;
        }
        Ok(layers.finish())
    }
}

/// Returns a file without its comments. The file that distributions ship explains every setting
/// but sets none, and parsing it would cost a third of a millisecond. What looks like a comment
/// can be part of a string only if the string has several lines.
fn uncommented(text: &str) -> Cow<'_, str> {
    let is_there = |quotes| memmem::find(text.as_bytes(), quotes).is_some();
    if is_there(b"\"\"\"") || is_there(b"'''") {
        return text.into();
    }
    let lines = text.split_inclusive('\n');
    let is_comment = |line: &&str| line.trim_ascii_start().starts_with('#');
    let lines = lines.filter(|line| !is_comment(line) && !line.trim_ascii().is_empty());
    lines.collect::<String>().into()
}

/// The parts of one file that concern us.
#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    network: NetworkTable,
    engine: EngineTable,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NetworkTable {
    default_subnet_pools: Option<Vec<PoolTable>>,
    network_config_dir: Option<String>,
    default_network: Option<String>,
    default_subnet: Option<String>,
    netavark_plugin_dirs: Option<Vec<Item>>,
    firewall_driver: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EngineTable {
    helper_binaries_dir: Option<Vec<Item>>,
}

#[derive(Deserialize)]
struct PoolTable {
    base: String,
    size: i64,
}

/// An item of a list: a value, or `{append=true}`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or {append=true}")]
enum Item {
    Value(String),
    Attributes(Attributes),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attributes {
    append: bool,
}

/// A list under construction. Once a file has said `{append=true}`, the lists of later files
/// are appended as well, until one says `{append=false}`: in Podman, the attribute stays with
/// the value (`attributedstring.Slice.UnmarshalTOML`, 5.4).
struct List {
    values: Vec<String>,
    append: bool,
}

impl List {
    fn of(values: &[&str]) -> Self {
        Self {
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            append: false,
        }
    }

    fn add(&mut self, items: Vec<Item>) {
        let mut values = Vec::new();
        for item in items {
            match item {
                Item::Value(value) => values.push(value),
                Item::Attributes(attributes) => self.append = attributes.append,
            }
        }
        if !self.append {
            self.values.clear();
        }
        self.values.append(&mut values);
    }

    fn into_paths(self) -> Vec<PathBuf> {
        self.values.into_iter().map(PathBuf::from).collect()
    }
}

/// The combined settings of the files read so far.
struct Layers {
    subnet_pools: Option<SubnetPools>,
    network: NetworkTable,
    plugin_dirs: List,
    helper_dirs: List,
}

impl Default for Layers {
    fn default() -> Self {
        Self {
            subnet_pools: None,
            network: NetworkTable::default(),
            plugin_dirs: List::of(&NETAVARK_PLUGIN_DIRS),
            helper_dirs: List::of(&HELPER_BINARIES_DIRS),
        }
    }
}

impl Layers {
    fn add(&mut self, path: &Path, text: &str) -> Result<(), ConfError> {
        // The line of a fault is right only in the whole text, so that is parsed again on an error.
        let file = toml::from_str(&uncommented(text)).or_else(|_| toml::from_str(text));
        let file: File = file.map_err(|error| ConfError::Parse {
            path: path.to_owned(),
            line: error
                .span()
                .and_then(|span| text.get(..span.start))
                .map(|before| before.matches('\n').count() + 1),
            message: error.message().replace('\n', " "),
        })?;
        let network = file.network;
        if let Some(pools) = network.default_subnet_pools {
            let pools = pools
                .iter()
                .map(|pool| SubnetPool::new(&pool.base, pool.size))
                .collect::<Result<_, _>>()
                .map_err(|source| ConfError::SubnetPool {
                    path: path.to_owned(),
                    source,
                })?;
            self.subnet_pools = Some(SubnetPools(pools));
        }
        if let Some(dirs) = network.netavark_plugin_dirs {
            self.plugin_dirs.add(dirs);
        }
        if let Some(dirs) = file.engine.helper_binaries_dir {
            self.helper_dirs.add(dirs);
        }
        let so_far = &mut self.network;
        for (setting, value) in [
            (&mut so_far.network_config_dir, network.network_config_dir),
            (&mut so_far.default_network, network.default_network),
            (&mut so_far.default_subnet, network.default_subnet),
            (&mut so_far.firewall_driver, network.firewall_driver),
        ] {
            if value.is_some() {
                *setting = value;
            }
        }
        Ok(())
    }

    /// Returns the settings. Empty strings count as unset, as in Podman.
    fn finish(self) -> ContainersConf {
        let set = |value: Option<String>| value.filter(|text| !text.is_empty());
        ContainersConf {
            subnet_pools: self.subnet_pools.unwrap_or_default(),
            network_config_dir: set(self.network.network_config_dir).map(PathBuf::from),
            default_network: set(self.network.default_network)
                .unwrap_or_else(|| DEFAULT_NETWORK.to_owned()),
            default_subnet: set(self.network.default_subnet)
                .unwrap_or_else(|| DEFAULT_SUBNET.to_owned()),
            netavark_plugin_dirs: self.plugin_dirs.into_paths(),
            firewall_driver: set(self.network.firewall_driver),
            helper_binaries_dir: self.helper_dirs.into_paths(),
        }
    }
}

#[cfg(test)]
mod tests;
