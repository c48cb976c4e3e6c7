//! The text of a network's configuration file, changed field by field.
//!
//! What we do not change stays as it was written, byte for byte: fields of newer versions,
//! their order, and the layout. Podman's own layout is JSON indented by five spaces
//! (containers/common `commitNetwork`).

use std::fmt::Write as _;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::ser::PrettyFormatter;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Network;

/// How far Podman indents.
const INDENT: &str = "     ";

/// A new field is inserted before this one, Podman's last.
const LAST: &str = "ipam_options";

/// Returns the text of a network's file, changed to describe `after`. `before` is what it
/// describes now; only the fields that differ are changed.
pub fn rewritten(bytes: &[u8], before: &Network, after: &Network) -> Vec<u8> {
    let mut fields = raw_fields(bytes).unwrap_or_else(|| fields_of(before));
    let (before, after) = (object(before), object(after));
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

/// Returns the text of a file for a network that has none yet.
pub fn written(network: &Network) -> Vec<u8> {
    text(&fields_of(network)).into_bytes()
}

/// Names and values in order, each value as it is written.
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
    // Podman's order of the fields that exist.
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

/// Formats a value as Podman does for the value of a field.
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
        // This cannot fail either.
        let _ = write!(text, "{comma}\n{INDENT}{name}: {value}");
    }
    text + "\n}\n"
}
