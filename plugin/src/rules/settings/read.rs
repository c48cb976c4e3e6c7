//! Reads one file, and adds it to what the files before it have set.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use berth_share::etcd::Endpoint;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Key, Kind};
use super::{Concern, Item, Mistake, Origin, Section, Setting, Settings};
use crate::rules::options;

/// The shortest and the longest wait, both allowed.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// How many letters of a word may be wrong for it to pass as a misspelling of a known one.
const NEAR: usize = 4;

const WAITS_TABLE: &str = "waits";
const DEFAULTS_TABLE: &str = "defaults";
const NETWORK_TABLE: &str = "network";
const SHARE_TABLE: &str = "share";

/// Where each key belongs.
const PLACES: [(&[Key], &str); 5] = [
    (keys::GENERAL, "before all tables"),
    (keys::WAITS, "in [waits]"),
    (keys::DEFAULTS, "in [defaults] or [network.NAME]"),
    (keys::NETWORK, "in [network.NAME]"),
    (keys::SHARE, "in [share.NAME]"),
];

/// The text being read.
struct Text<'t> {
    path: &'t Path,
    text: &'t str,
    mistakes: Vec<Mistake>,
}

impl Settings {
    /// Adds a file's settings to those of the files before it. What cannot be understood
    /// becomes a [`Mistake`]; everything else counts.
    pub fn add(&mut self, path: &Path, text: &str) {
        let mut text = Text {
            path,
            text,
            mistakes: Vec::new(),
        };
        match DeTable::parse(text.text) {
            Ok(table) => self.add_table(&mut text, table.get_ref()),
            Err(error) => {
                let at = error.span().map(|span| span.start);
                let what = error.message().replace('\n', " ");
                text.mistake(at, Concern::Everything, what);
            }
        }
        self.mistakes.append(&mut text.mistakes);
    }

    fn add_table(&mut self, text: &mut Text<'_>, table: &DeTable<'_>) {
        for (key, value) in table {
            let everything = Concern::Everything;
            match (&**key.get_ref(), value.get_ref()) {
                (WAITS_TABLE, DeValue::Table(table)) => {
                    text.section(&mut self.waits, keys::WAITS, table, &everything);
                }
                (DEFAULTS_TABLE, DeValue::Table(table)) => {
                    text.section(&mut self.defaults, keys::DEFAULTS, table, &everything);
                }
                (NETWORK_TABLE, DeValue::Table(networks)) => {
                    let kind = (NETWORK_TABLE, keys::NETWORK);
                    text.sections(&mut self.networks, kind, networks, Concern::Network);
                }
                (SHARE_TABLE, DeValue::Table(shares)) => {
                    let kind = (SHARE_TABLE, keys::SHARE);
                    text.sections(&mut self.shares, kind, shares, Concern::Share);
                }
                (name @ (WAITS_TABLE | DEFAULTS_TABLE | NETWORK_TABLE | SHARE_TABLE), _) => {
                    let what = format!("{name} must be a table, as in [{name}]");
                    text.mistake(Some(key.span().start), everything, what);
                }
                _ => {
                    let tables = [WAITS_TABLE, DEFAULTS_TABLE, NETWORK_TABLE, SHARE_TABLE];
                    if let Some(known) = text.known(keys::GENERAL, &tables, key, &everything) {
                        text.set(&mut self.general, known, value, &everything);
                    }
                }
            }
        }
    }
}

impl Text<'_> {
    fn origin(&self, at: Option<usize>) -> Origin {
        let before = at.and_then(|at| self.text.get(..at));
        Origin {
            path: self.path.to_owned(),
            line: before.map(|before| before.matches('\n').count() + 1),
        }
    }

    fn mistake(&mut self, at: Option<usize>, concern: Concern, what: String) {
        let origin = self.origin(at);
        self.mistakes.push(Mistake {
            origin,
            what,
            concern,
        });
    }

    /// Reads tables that have names of their own, as in `[network.NAME]`.
    fn sections(
        &mut self,
        all: &mut BTreeMap<String, Section>,
        (kind, known): (&str, &'static [Key]),
        tables: &DeTable<'_>,
        concern: impl Fn(String) -> Concern,
    ) {
        for (name, value) in tables {
            let concern = concern(name.get_ref().to_string());
            let DeValue::Table(table) = value.get_ref() else {
                let what = format!("{kind}.{} must be a table", name.get_ref());
                self.mistake(Some(name.span().start), concern, what);
                continue;
            };
            let section = all.entry(name.get_ref().to_string());
            self.section(section.or_default(), known, table, &concern);
        }
    }

    fn section(
        &mut self,
        section: &mut Section,
        known: &'static [Key],
        table: &DeTable<'_>,
        concern: &Concern,
    ) {
        for (key, value) in table {
            if let Some(known) = self.known(known, &[], key, concern) {
                self.set(section, known, value, concern);
            }
        }
    }

    /// Returns the key of this name. `tables` are other names that could have been meant.
    fn known(
        &mut self,
        known: &'static [Key],
        tables: &[&'static str],
        key: &Spanned<std::borrow::Cow<'_, str>>,
        concern: &Concern,
    ) -> Option<&'static Key> {
        let word = key.get_ref();
        if let Some(known) = known.iter().find(|known| known.name == word) {
            return Some(known);
        }
        let names: Vec<_> = known.iter().map(|known| known.name).collect();
        let names = [&names, tables].concat();
        let mut places = PLACES.into_iter();
        let elsewhere = places.find(|(keys, _)| keys.iter().any(|key| key.name == word));
        let what = match (elsewhere, nearest(word, &names)) {
            (Some((_, place)), _) => format!("{word} belongs {place}"),
            (None, Some(near)) => format!("unknown key {word:?}: did you mean {near}?"),
            (None, None) => format!("unknown key {word:?}: berth knows {}", names.join(", ")),
        };
        self.mistake(Some(key.span().start), concern.clone(), what);
        None
    }

    fn set(
        &mut self,
        section: &mut Section,
        key: &'static Key,
        value: &Spanned<DeValue<'_>>,
        concern: &Concern,
    ) {
        let at = Some(value.span().start);
        match (key.kind, value.get_ref()) {
            (Kind::List | Kind::Endpoints, DeValue::Array(array)) => {
                let mut append = None;
                let mut items = Vec::new();
                for value in array {
                    let at = Some(value.span().start);
                    match value.get_ref() {
                        DeValue::Table(table) => match table.get("append").map(Spanned::get_ref) {
                            Some(DeValue::Boolean(wanted)) if table.len() == 1 => {
                                append = Some(*wanted);
                            }
                            _ => self.unlike(key, at, concern),
                        },
                        value => items.extend(self.item(key, value, at, concern)),
                    }
                }
                let setting = section.entry(key.name).or_default();
                setting.append = append.unwrap_or(setting.append);
                if !setting.append {
                    setting.items.clear();
                }
                setting.items.append(&mut items);
            }
            (Kind::List | Kind::Endpoints, value) => {
                if matches!(value, DeValue::String(_)) {
                    let what = format!("{} must be a list: put it in [ ]", key.name);
                    self.mistake(at, concern.clone(), what);
                } else {
                    self.unlike(key, at, concern);
                }
            }
            (_, value) => {
                if let Some(item) = self.item(key, value, at, concern) {
                    let setting = Setting {
                        items: vec![item],
                        append: false,
                    };
                    section.insert(key.name, setting);
                }
            }
        }
    }

    /// Reads one value.
    fn item(
        &mut self,
        key: &Key,
        value: &DeValue<'_>,
        at: Option<usize>,
        concern: &Concern,
    ) -> Option<Item> {
        let text = match value {
            DeValue::String(text) => text.to_string(),
            // A number of seconds.
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            _ => {
                self.unlike(key, at, concern);
                return None;
            }
        };
        match check(key, &text) {
            Ok(()) => Some(Item {
                text,
                origin: self.origin(at),
            }),
            Err(what) => {
                self.mistake(at, weight(key, concern), what);
                None
            }
        }
    }

    /// Notes a value whose type is not the key's.
    fn unlike(&mut self, key: &Key, at: Option<usize>, concern: &Concern) {
        let wanted = match key.kind {
            Kind::Path | Kind::Word(_) | Kind::Text => "a string",
            Kind::Wait | Kind::Option | Kind::Time(..) => "a string or a number of seconds",
            Kind::List | Kind::Endpoints => {
                "a list of strings, in which {append=true} keeps what files before it say"
            }
        };
        let what = format!("{} must be {wanted}", key.name);
        self.mistake(at, weight(key, concern), what);
    }
}

/// Returns what a bad value keeps berth from doing. A bad word, time or order gives no address
/// away.
fn weight(key: &Key, concern: &Concern) -> Concern {
    match key.kind {
        Kind::Option if key.name == options::SHARE => concern.clone(),
        Kind::Word(_) | Kind::Wait | Kind::Option => Concern::Nothing,
        Kind::Path | Kind::List | Kind::Endpoints | Kind::Text | Kind::Time(..) => concern.clone(),
    }
}

/// Returns what is wrong with a value, if anything is.
fn check(key: &Key, text: &str) -> Result<(), String> {
    match key.kind {
        Kind::Path if Path::new(text).is_absolute() => Ok(()),
        Kind::Path => Err(format!(
            "{} is {text:?}, which is not an absolute path",
            key.name
        )),
        Kind::Word(known) if known.contains(&text) => Ok(()),
        Kind::Word(known) => Err(format!(
            "{} is {text:?}, which is none of {}",
            key.name,
            known.join(", ")
        )),
        Kind::Wait => match options::whole_seconds(text) {
            Some(wait) if wait >= WAITS.0 && wait <= WAITS.1 => Ok(()),
            _ => Err(format!(
                "{} is {text:?}, which is not a time from 1s to 1h (90, 90s, 10m)",
                key.name
            )),
        },
        Kind::Endpoints => {
            let endpoint: Result<Endpoint, _> = text.parse();
            endpoint.map(drop).map_err(|error| error.to_string())
        }
        Kind::Text if text.trim().is_empty() || text.chars().any(char::is_control) => Err(format!(
            "{} is {text:?}: it must not be blank or have control characters",
            key.name
        )),
        Kind::Text => Ok(()),
        Kind::Time(shortest, longest) => {
            let (shortest, longest) = (
                Duration::from_millis(shortest),
                Duration::from_millis(longest),
            );
            match options::time(text) {
                Some(time) if time >= shortest && time <= longest => Ok(()),
                _ => Err(format!(
                    "{} is {text:?}, which is not a time from {} to {} (500ms, 4s, 1h)",
                    key.name,
                    humantime::format_duration(shortest),
                    humantime::format_duration(longest)
                )),
            }
        }
        Kind::Option | Kind::List => {
            options::check(key.name, text).map_err(|error| error.to_string())
        }
    }
}

/// Returns the known word that was probably meant, with or without the prefix of our options.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |known: &str| {
        let bare = known.strip_prefix(options::PREFIX).unwrap_or(known);
        let to = |known| strsim::damerau_levenshtein(word, known);
        to(known).min(to(bare))
    };
    let near = known.iter().min_by_key(|known| distance(known))?;
    (distance(near) <= NEAR.min(word.len() / 2)).then_some(*near)
}
