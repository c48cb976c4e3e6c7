//! A network's configuration file: read with every byte kept, changed in single
//! fields, replaced durably.
//!
//! What we do not change stays as it was written, byte by byte: fields of newer versions,
//! their order, the layout. Podman's own layout is JSON indented by five spaces
//! (containers/common `commitNetwork`).

mod staged;

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use berth::podman::{self, Fault};
use berth::protocol::Network;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::ser::PrettyFormatter;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub(crate) use staged::{Staged, remove, sweep};

use crate::error::Error;
use crate::file::{FileError, failed};

/// By how much Podman indents.
const INDENT: &str = "     ";

/// The field before which a new one is put: Podman's last.
const LAST: &str = "ipam_options";

/// A network's configuration file.
#[derive(Clone, Debug)]
pub(crate) struct NetworkFile {
    pub(crate) path: PathBuf,
    /// What it says, byte by byte.
    pub(crate) bytes: Vec<u8>,
    pub(crate) network: Network,
    /// Its mode, user and group; `None` for one that is not there yet.
    owner: Option<(u32, u32, u32)>,
}

impl NetworkFile {
    /// Reads a file; `None` if there is none, or Podman does not take it for a network.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let file = podman::NetworkFile::read(path.to_owned());
        file.map_or(Ok(None), Self::of)
    }

    /// Reads all files of a directory, by name. It need not exist.
    ///
    /// # Errors
    /// If one is there and cannot be read.
    pub(crate) fn read_all(directory: &Path) -> Result<Vec<Self>, Error> {
        let mut files = Vec::new();
        for file in podman::read_networks(directory)? {
            files.extend(Self::of(file)?);
        }
        // They come sorted by path, where `a-b.json` is before `a.json`.
        files.sort_by(|one, other| one.network.name.cmp(&other.network.name));
        Ok(files)
    }

    fn of(file: podman::NetworkFile) -> Result<Option<Self>, Error> {
        let (path, owner) = (file.path, file.metadata);
        match file.network {
            Ok(network) => Ok(Some(Self {
                path,
                bytes: file.bytes,
                network,
                owner: owner.map(|own| (own.mode() & 0o7777, own.uid(), own.gid())),
            })),
            Err(Fault::Malformed(why)) => {
                log::warn!("Podman ignores {}: {why}", path.display());
                Ok(None)
            }
            Err(Fault::Unreadable(source)) => Err(failed("read", &path)(source).into()),
        }
    }

    /// Returns a file for a network that has none.
    pub(crate) fn of_memory(directory: &Path, network: Network) -> Self {
        Self {
            path: directory.join(format!("{}.json", network.name)),
            bytes: text(&fields_of(&network)).into_bytes(),
            network,
            owner: None,
        }
    }

    /// Returns its mode, user and group, if it is there.
    pub(crate) const fn owner(&self) -> Option<(u32, u32, u32)> {
        self.owner
    }

    /// Returns whether the file is there.
    pub(crate) fn is_there(&self) -> bool {
        self.owner.is_some()
    }

    /// Returns the file's text with another network in it: only the fields that differ
    /// are changed.
    pub(crate) fn rewritten(&self, network: &Network) -> Vec<u8> {
        let (before, after) = (object(&self.network), object(network));
        let mut fields = raw_fields(&self.bytes).unwrap_or_else(|| fields_of(&self.network));
        fields.retain(|(name, _)| after.contains_key(name) || !before.contains_key(name));
        for (name, value) in &after {
            if before.get(name) == Some(value) {
                continue;
            }
            let value = pretty(value);
            match fields.iter().position(|(known, _)| known == name) {
                Some(at) => fields[at].1 = value,
                None => {
                    let last = fields.iter().position(|(known, _)| known == LAST);
                    fields.insert(last.unwrap_or(fields.len()), (name.clone(), value));
                }
            }
        }
        text(&fields).into_bytes()
    }

    /// Writes what is to take the file's place beside it, so that nothing but the
    /// renaming is left to fail; makes the directory if there is none.
    ///
    /// # Errors
    /// If it cannot be written; nothing is left of it then.
    pub(crate) fn stage(&self, bytes: &[u8]) -> Result<Staged, FileError> {
        Staged::new(&self.path, bytes, self.owner)
    }

    /// As [`NetworkFile::stage`], with this file's text, mode and owner for the place of
    /// another.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn stage_as(&self, other: &Self) -> Result<Staged, FileError> {
        Staged::new(&other.path, &self.bytes, self.owner)
    }

    /// Removes the file, durably; that it is gone already is no error.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(crate) fn remove(&self) -> Result<(), FileError> {
        remove(&self.path)
    }
}

/// Names and values in their order, each value as it is written.
type Fields = Vec<(String, String)>;

/// Returns the fields of an object as they are written.
fn raw_fields(bytes: &[u8]) -> Option<Fields> {
    struct InOrder;

    impl<'de> Visitor<'de> for InOrder {
        type Value = Fields;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
            let mut fields = Fields::new();
            while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                fields.push((name, value.get().to_owned()));
            }
            Ok(fields)
        }
    }

    let mut reader = serde_json::Deserializer::from_slice(bytes);
    reader.deserialize_map(InOrder).ok()
}

fn fields_of(network: &Network) -> Fields {
    // In Podman's order, as far as these fields are there.
    const ORDER: [&str; 14] = [
        "name",
        "id",
        "driver",
        "network_interface",
        "created",
        "subnets",
        "routes",
        "ipv6_enabled",
        "internal",
        "dns_enabled",
        "network_dns_servers",
        "labels",
        "options",
        LAST,
    ];
    let object = object(network);
    let place = |name: &str| ORDER.iter().position(|known| *known == name);
    let mut fields: Vec<_> = object.iter().collect();
    fields.sort_by_key(|(name, _)| place(name).unwrap_or(ORDER.len()));
    let written = fields.into_iter();
    written
        .map(|(name, value)| (name.clone(), pretty(value)))
        .collect()
}

fn object(network: &Network) -> Map<String, Value> {
    match serde_json::to_value(network) {
        Ok(Value::Object(object)) => object,
        Ok(_) | Err(_) => Map::new(),
    }
}

/// Writes a value as Podman does, as the value of a field.
fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(INDENT.as_bytes());
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // Writing a value into memory cannot fail.
    let _ = serde::Serialize::serialize(value, &mut writer);
    let text = String::from_utf8_lossy(&bytes);
    text.replace('\n', &format!("\n{INDENT}"))
}

fn text(fields: &Fields) -> String {
    let mut text = String::from("{");
    for (number, (name, value)) in fields.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let name = Value::from(name.as_str());
        // Nor can this.
        let _ = write!(text, "{comma}\n{INDENT}{name}: {value}");
    }
    text + "\n}\n"
}

#[cfg(test)]
mod tests;
