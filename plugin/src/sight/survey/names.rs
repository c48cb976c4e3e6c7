//! A network's file of DNS names, as netavark writes it for aardvark-dns.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::protocol::Network;
use crate::sight;

/// The content of such a file; [`super::records`] describes its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameFile {
    /// Where it is.
    pub path: PathBuf,
    text: String,
}

impl NameFile {
    /// Reads the file of a network; `None` if there is none.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn of(run_directory: &Path, network: &Network) -> io::Result<Option<Self>> {
        let suffix = if network.internal { "%int" } else { "" };
        let name = format!("{}{suffix}", network.name);
        Self::read(Self::directory(run_directory).join(name))
    }

    /// Returns the directory of these files, which also has aardvark-dns's pid in it.
    pub fn directory(run_directory: &Path) -> PathBuf {
        run_directory.join("aardvark-dns")
    }

    /// Reads a file; `None` if there is none.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn read(path: PathBuf) -> io::Result<Option<Self>> {
        let text = sight::read_text(&path)?;
        Ok(text.map(|text| Self { path, text }))
    }

    /// Returns the addresses at which the names are served.
    pub fn servers(&self) -> Vec<IpAddr> {
        let words = self.first().0.split(',');
        words.filter_map(|word| word.parse().ok()).collect()
    }

    /// Returns the text that the file would have if the names were served at these
    /// addresses.
    pub fn served_at(&self, servers: &[IpAddr]) -> String {
        let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
        let (_, upstream) = self.first();
        let first = [&servers.join(","), upstream].join(" ");
        let entries = self.text.split_once('\n').map_or("", |(_, rest)| rest);
        format!("{}\n{entries}", first.trim_end())
    }

    /// Returns the lines of the containers.
    pub(super) fn entries(&self) -> impl Iterator<Item = &str> {
        self.text.lines().skip(1)
    }

    /// Returns the two fields of the first line: where the names are served, and which
    /// server is asked for others.
    fn first(&self) -> (&str, &str) {
        let first = self.text.lines().next().unwrap_or_default();
        first.split_once(' ').unwrap_or((first, ""))
    }
}
