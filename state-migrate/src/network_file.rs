//! A network's configuration file: read with every byte kept, changed in single
//! fields, replaced durably.
//!
//! What we do not change stays as it was written, byte by byte: fields of newer versions,
//! their order, the layout. Podman's own layout is JSON indented by five spaces
//! (containers/common `commitNetwork`).

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use berth::protocol::Network;
use berth::rules::network_config::is_valid_name;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::ser::PrettyFormatter;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tempfile::NamedTempFile;
use thiserror::Error;

/// By how much Podman indents.
const INDENT: &str = "     ";

/// What the names of staged files begin with. Podman takes no file for a network that
/// does not end in `.json`.
const STAGED: &str = ".berth-migrate-";

/// The field before which a new one is put: Podman's last.
const LAST: &str = "ipam_options";

/// Failure to read or replace a network's configuration.
#[derive(Debug, Error)]
#[error("failed to {action} {}", path.display())]
pub struct NetworkFileError {
    /// What was tried.
    action: &'static str,
    /// With which file or directory.
    path: PathBuf,
    /// Why not.
    #[source]
    source: io::Error,
}

/// A network's configuration file.
#[derive(Clone, Debug)]
pub struct NetworkFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says, byte by byte.
    pub bytes: Vec<u8>,
    /// What that means.
    pub network: Network,
    /// Its mode, user and group; `None` for one that is not there yet.
    owner: Option<(u32, u32, u32)>,
}

impl NetworkFile {
    /// Reads a file; `None` if there is none, or Podman does not take it for a network
    /// (`loadNetworks`, 5.4).
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>, NetworkFileError> {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, mut file) = match opened {
            Ok((metadata, _)) if metadata.is_dir() => return Ok(None),
            Ok(opened) => opened,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("read", path)(source)),
        };
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes).map_err(failed("read", path))?;
        let network: Network = match serde_json::from_slice(&bytes) {
            Ok(network) => network,
            Err(error) => {
                log::warn!("{} is no network to Podman: {error}", path.display());
                return Ok(None);
            }
        };
        let named = path.file_stem().is_some_and(|stem| *stem == *network.name);
        if !named || !is_valid_name(&network.name) || network.id.len() != 64 {
            log::warn!("{} is no network to Podman: name or id", path.display());
            return Ok(None);
        }
        Ok(Some(Self {
            path: path.to_owned(),
            bytes,
            network,
            owner: Some((metadata.mode() & 0o7777, metadata.uid(), metadata.gid())),
        }))
    }

    /// Reads all files of a directory, by name. It need not exist.
    ///
    /// # Errors
    /// If one is there and cannot be read.
    pub fn read_all(directory: &Path) -> Result<Vec<Self>, NetworkFileError> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed("read", directory)(source)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed("read", directory))?.path();
            if path.extension().is_some_and(|end| end == "json") {
                files.extend(Self::read(&path)?);
            }
        }
        files.sort_by(|one, other| one.network.name.cmp(&other.network.name));
        Ok(files)
    }

    /// Returns a file for a network that has none.
    pub fn of_memory(directory: &Path, network: Network) -> Self {
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
    pub fn is_there(&self) -> bool {
        self.owner.is_some()
    }

    /// Returns the file's text with another network in it: only the fields that differ
    /// are changed.
    pub fn rewritten(&self, network: &Network) -> Vec<u8> {
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
    pub fn stage(&self, bytes: &[u8]) -> Result<Staged, NetworkFileError> {
        Staged::new(&self.path, bytes, self.owner)
    }

    /// As [`NetworkFile::stage`], with this file's text, mode and owner for the place of
    /// another.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn stage_as(&self, other: &Self) -> Result<Staged, NetworkFileError> {
        Staged::new(&other.path, &self.bytes, self.owner)
    }

    /// Removes the file, durably; that it is gone already is no error.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self) -> Result<(), NetworkFileError> {
        remove(&self.path)
    }
}

/// Removes what a killed command has staged in a directory. The caller has Podman's
/// network lock, so that nobody stages anything now.
pub(crate) fn sweep(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(STAGED))
            && let Err(error) = fs::remove_file(&path)
        {
            log::debug!("{} stays: {error}", path.display());
        }
    }
}

/// Removes a file, durably; that it is gone already is no error.
pub(crate) fn remove(path: &Path) -> Result<(), NetworkFileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => sync_directory(path),
    }
}

/// A file beside the one whose place it is to take.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    path: PathBuf,
}

impl Staged {
    /// Writes a file beside `path`, durable but for its name, with this mode, user and
    /// group.
    pub(crate) fn new(
        path: &Path,
        bytes: &[u8],
        owner: Option<(u32, u32, u32)>,
    ) -> Result<Self, NetworkFileError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .map_err(failed("create", directory))?;
        let mut file = tempfile::Builder::new()
            .prefix(STAGED)
            .tempfile_in(directory)
            .map_err(failed("create a file in", directory))?;
        let (mode, user, group) = owner.map_or((0o644, None, None), |(mode, user, group)| {
            (mode, Some(user), Some(group))
        });
        file.write_all(bytes)
            .and_then(|()| fchown(file.as_file(), user, group))
            .and_then(|()| {
                let mode = fs::Permissions::from_mode(mode);
                file.as_file().set_permissions(mode)
            })
            .and_then(|()| file.as_file().sync_all())
            .map_err(failed("write a file beside", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Puts it in its place, durably.
    ///
    /// # Errors
    /// If the file system refuses. The old file may be in its place then, or the new.
    pub fn put(self) -> Result<(), NetworkFileError> {
        let placed = self.file.persist(&self.path);
        placed.map_err(|error| failed("replace", &self.path)(error.error))?;
        sync_directory(&self.path)
    }
}

fn sync_directory(path: &Path) -> Result<(), NetworkFileError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(failed("sync", directory))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NetworkFileError + use<> {
    let path = path.to_owned();
    move |source| NetworkFileError {
        action,
        path,
        source,
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
#[allow(clippy::unwrap_used)]
mod tests {
    use berth::rules::network_config::{hand_back, take_over};

    use super::*;

    const ID: &str = "5e94126e8fe1abd2994e547399520cdf473cfe40f0ecbbd2bf13772180dea359";

    /// As Podman 5.4 writes it, but for the fields that nobody knows.
    fn podmans() -> String {
        format!(
            r#"{{
     "name": "n",
     "id": "{ID}",
     "driver": "bridge",
     "network_interface": "podman1",
     "created": "2026-11-22T19:43:31.522394516Z",
     "subnets": [
          {{
               "subnet": "10.77.0.0/24",
               "gateway": "10.77.0.1"
          }}
     ],
     "ipv6_enabled": false,
     "from_the_future": {{"number":   18446744073709551615,
  "text": "\u00e9"}},
     "internal": false,
     "dns_enabled": true,
     "ipam_options": {{
          "driver": "host-local"
     }}
}}
"#
        )
    }

    fn file(text: &str) -> NetworkFile {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("n.json");
        fs::write(&path, text).unwrap();
        NetworkFile::read(&path).unwrap().unwrap()
    }

    #[test]
    fn only_what_changes_is_written_anew() {
        let before = podmans();
        let taken = take_over(file(&before).network, Vec::new()).unwrap();
        let after = String::from_utf8(file(&before).rewritten(&taken)).unwrap();
        let expected = before
            .replace(r#""driver": "bridge""#, r#""driver": "berth""#)
            .replace(
                "     \"ipam_options\": {\n          \"driver\": \"host-local\"",
                "     \"options\": {\n          \"driver\": \"bridge\"\n     },\n     \
                 \"ipam_options\": {\n          \"driver\": \"berth\"",
            );
        assert_eq!(after, expected);
        let back = hand_back(file(&after).network).unwrap();
        assert_eq!(
            String::from_utf8(file(&after).rewritten(&back)).unwrap(),
            before
        );
    }

    #[test]
    fn a_network_without_a_file_is_written_as_podman_writes() {
        let own = file(&podmans());
        let directory = tempfile::tempdir().unwrap();
        let made = NetworkFile::of_memory(directory.path(), own.network.clone());
        assert!(!made.is_there());
        made.stage(&made.bytes).unwrap().put().unwrap();
        let read = NetworkFile::read(&made.path).unwrap().unwrap();
        assert_eq!(read.network, own.network);
        let text = String::from_utf8(read.bytes).unwrap();
        assert!(text.starts_with(&podmans()[..podmans().find(r#""subnets"#).unwrap()]));
        made.remove().unwrap();
        made.remove().unwrap();
        assert!(NetworkFile::read(&made.path).unwrap().is_none());
    }

    #[test]
    fn what_a_killed_command_has_staged_is_swept_away() {
        let directory = tempfile::tempdir().unwrap();
        for name in [".berth-migrate-x", "n.json"] {
            fs::write(directory.path().join(name), "{}").unwrap();
        }
        sweep(directory.path());
        let mut left = fs::read_dir(directory.path()).unwrap();
        assert_eq!(left.next().unwrap().unwrap().file_name(), "n.json");
        assert!(left.next().is_none());
    }

    #[test]
    fn mode_and_owner_stay_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("n.json");
        fs::write(&path, podmans()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let file = NetworkFile::read(&path).unwrap().unwrap();
        drop(file.stage(b"never put in its place").unwrap());
        file.stage(b"{}").unwrap().put().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_network_to_podman_is_none_to_us() {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path();
        fs::write(dir.join("other.json"), podmans()).unwrap();
        fs::write(
            dir.join("short.json"),
            r#"{"name":"short","id":"1","driver":"x"}"#,
        )
        .unwrap();
        fs::write(dir.join("half.json"), r#"{"name":"half""#).unwrap();
        fs::write(dir.join("n.txt"), podmans()).unwrap();
        fs::create_dir(dir.join("d.json")).unwrap();
        fs::write(dir.join("n.json"), podmans()).unwrap();
        let names = |files: Vec<NetworkFile>| -> Vec<String> {
            files.into_iter().map(|file| file.network.name).collect()
        };
        assert_eq!(names(NetworkFile::read_all(dir).unwrap()), ["n"]);
        let nowhere = NetworkFile::read_all(&dir.join("nowhere")).unwrap();
        assert!(nowhere.is_empty());
    }
}
