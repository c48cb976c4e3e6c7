//! `--format` with a template: a small part of Go's templates, as in podman.
//!
//! It understands `{{.Field}}`, `{{.Field.Field}}`, `{{json .}}` and `{{json .Field}}`;
//! `\t` and `\n`; and `table ` at the beginning for a table with headings. A field's name
//! may be written as in podman (`ContainerID`) or as in the JSON (`container_id`).

use serde_json::Value;
use thiserror::Error;

use crate::text;

/// Why a template is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum TemplateError {
    #[error("invalid format {0:?}: a {{{{ has no }}}}")]
    Open(String),
    #[error(
        "invalid format: berth does not know {{{{{0}}}}}; it knows {{{{.Field}}}}, {{{{json .}}}} \
         and {{{{json .Field}}}}"
    )]
    Action(String),
    #[error("invalid format: there is no field .{field}; the fields are {known}")]
    Field { field: String, known: String },
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    /// Whether it is a table with headings.
    pub(super) is_table: bool,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The names that lead to a field; none for the whole value.
    Field {
        path: Vec<String>,
        json: bool,
    },
}

impl Template {
    /// Reads a template. `fields` are the fields that exist, by their names in the JSON;
    /// fields within fields are not checked.
    ///
    /// # Errors
    /// If it cannot be understood, or names a field that does not exist.
    pub(super) fn parse<S: AsRef<str>>(text: &str, fields: &[S]) -> Result<Self, TemplateError> {
        let (is_table, mut rest) = match text.strip_prefix("table ") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut pieces = Vec::new();
        while let Some((before, after)) = rest.split_once("{{") {
            let open = || TemplateError::Open(text.to_owned());
            let (action, after) = after.split_once("}}").ok_or_else(open)?;
            pieces.push(Piece::Text(unescaped(before)));
            pieces.push(field(action, fields)?);
            rest = after;
        }
        pieces.push(Piece::Text(unescaped(rest)));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(Self { is_table, pieces })
    }

    /// Returns the template filled in with the fields of a value, each in one line. A field
    /// that is not there is empty.
    pub(super) fn fill(&self, value: &Value) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Field { path, json } => {
                let found = path.iter().try_fold(value, |value, name| get(value, name));
                match found {
                    Some(found) if *json => text::json(&found.to_string()),
                    Some(found) => text::lines(&plain(found)).replace('\n', "\\n"),
                    None => String::new(),
                }
            }
        });
        pieces.collect()
    }

    /// Returns the headings of a table, one in place of each field.
    pub(super) fn headings(&self) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Field { path, .. } => path.last().map_or_else(String::new, |name| heading(name)),
        });
        pieces.collect()
    }
}

/// Parses what is between `{{` and `}}`.
fn field<S: AsRef<str>>(action: &str, fields: &[S]) -> Result<Piece, TemplateError> {
    let unknown = || TemplateError::Action(action.to_owned());
    let words: Vec<_> = action.split_whitespace().collect();
    let (json, path) = match words[..] {
        [path] => (false, path),
        ["json", path] => (true, path),
        _ => return Err(unknown()),
    };
    let path = path.strip_prefix('.').ok_or_else(unknown)?;
    let path: Vec<_> = match path {
        "" if json => Vec::new(),
        path => path.split('.').map(str::to_owned).collect(),
    };
    if path.iter().any(|name| !is_name(name)) {
        return Err(unknown());
    }
    let known = |name: &String| fields.iter().any(|field| same(field.as_ref(), name));
    if let Some(name) = path.first().filter(|name| !known(name)) {
        let names = fields.iter().map(|field| camel_case(field.as_ref()));
        return Err(TemplateError::Field {
            field: name.clone(),
            known: names.collect::<Vec<_>>().join(" "),
        });
    }
    Ok(Piece::Field { path, json })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Returns a text with its escapes replaced by what they stand for.
fn unescaped(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// Returns whether two names are the same except for capitals and underscores.
fn same(one: &str, other: &str) -> bool {
    let letters = |name: &str| name.replace('_', "").to_lowercase();
    letters(one) == letters(other)
}

fn get<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let mut fields = value.as_object()?.iter();
    fields.find_map(|(key, value)| same(key, name).then_some(value))
}

/// Returns a value as a text: a string as it is, a list with spaces between its items.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let texts: Vec<_> = values.iter().map(plain).collect();
            texts.join(" ")
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// Returns `.ContainerID` for `container_id`.
fn camel_case(field: &str) -> String {
    let words = field.split('_').map(|word| match word {
        "id" => "ID".to_owned(),
        word => {
            let mut letters = word.chars();
            let first = letters.next().into_iter().flat_map(char::to_uppercase);
            first.chain(letters).collect()
        }
    });
    format!(".{}", words.collect::<String>())
}

/// Returns `CONTAINER ID` for `ContainerID` or `container_id`.
fn heading(name: &str) -> String {
    let mut heading = String::new();
    let mut was_lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && was_lower) {
            heading.push(' ');
        }
        if c != '_' {
            heading.extend(c.to_uppercase());
        }
        was_lower = c.is_lowercase();
    }
    heading
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIELDS: [&str; 4] = ["address", "container_id", "names", "lease"];

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let value = json!({
            "address": "10.0.0.9", "container_id": "1f2e", "names": ["a", "b"],
            "lease": {"generation": 7, "kind": null},
        });
        let template = Template::parse(text, &FIELDS).expect("a template");
        assert_eq!(template.fill(&value), expected);
    }

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        let error = Template::parse(text, &FIELDS).expect_err("it must be refused");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn fields_are_filled_in() {
        check("{{.Address}}", "10.0.0.9");
        check("{{ .address }} {{.ContainerID}}", "10.0.0.9 1f2e");
        check(r"{{.container_id}}\t{{.Names}}\n", "1f2e\ta b\n");
        check("{{.Lease.Generation}}{{.Lease.Kind}}!", "7!");
        check("{{json .Names}}", r#"["a","b"]"#);
        check("{{json .Lease}}", r#"{"generation":7,"kind":null}"#);
        check("no field", "no field");
    }

    #[test]
    fn a_field_is_one_line_and_no_command_for_a_terminal() {
        let fill = |text: &str| {
            let template = Template::parse(text, &FIELDS).expect("a template");
            template.fill(&json!({"names": ["a\n\u{1b}[2J\u{9b}"]}))
        };
        assert_eq!(fill("{{.Names}}"), "a\\n\\u{1b}[2J\\u{9b}");
        assert_eq!(fill("{{json .Names}}"), r#"["a\n\u001b[2J\u009b"]"#);
    }

    #[test]
    fn a_table_has_headings() {
        let text = r"table {{.Address}}\t{{.ContainerID}}\t{{.container_id}}";
        let table = Template::parse(text, &FIELDS).expect("a template");
        assert!(table.is_table);
        assert_eq!(table.headings(), "ADDRESS\tCONTAINER ID\tCONTAINER ID");
    }

    #[test]
    fn what_is_not_known_is_refused_in_one_line() {
        check_refused(
            "{{.Address",
            "invalid format \"{{.Address\": a {{ has no }}",
        );
        check_refused(
            "{{range .}}",
            "invalid format: berth does not know {{range .}}; it knows {{.Field}}, {{json .}} and \
             {{json .Field}}",
        );
        check_refused(
            "{{.}}",
            "invalid format: berth does not know {{.}}; it knows {{.Field}}, {{json .}} and \
             {{json .Field}}",
        );
        check_refused(
            "{{.Nam}}",
            "invalid format: there is no field .Nam; the fields are .Address .ContainerID .Names \
             .Lease",
        );
    }
}
