//! Texts that others have chosen, made safe to show to people. Names of processes,
//! interfaces and containers may contain anything, and a terminal takes some of it for a
//! command.
//!
//! [`foreign`] is for such a text within one of our messages. [`lines`] and [`json`] are
//! for everything we print: the front ends write nothing that has not passed through one
//! of them.

use std::fmt::Write;

/// How many characters of a text we repeat: enough for a command line with its options.
const LIMIT: usize = 200;

/// Returns a text of others in one readable line, cut off if it is long.
pub fn foreign(text: &str) -> String {
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => escape(&text[..end], &[], as_in_rust) + "…",
        None => escape(text, &[], as_in_rust),
    }
}

/// Returns our own text, ready to be printed. It may have several lines, and columns
/// separated by tabs.
pub fn lines(text: &str) -> String {
    escape(text, &['\n', '\t'], as_in_rust)
}

/// Returns JSON with the same content, ready to be printed. JSON itself escapes only the
/// first 32 characters; other hidden ones occur only within strings.
pub fn json(text: &str) -> String {
    escape(text, &['\n'], |shown, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    })
}

/// Returns the text with its hidden characters escaped, except for those that are `kept`.
fn escape(text: &str, kept: &[char], push: impl Fn(&mut String, char)) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut plain_from = 0;
    for (at, c) in text.char_indices() {
        if is_hidden(c) && !kept.contains(&c) {
            shown.push_str(&text[plain_from..at]);
            push(&mut shown, c);
            plain_from = at + c.len_utf8();
        }
    }
    shown.push_str(&text[plain_from..]);
    shown
}

/// Appends a character as Rust's source text has it.
fn as_in_rust(shown: &mut String, c: char) {
    shown.extend(c.escape_default());
}

/// Returns whether a character is a command to a terminal or is invisible: it has no
/// width, or changes the direction in which the rest is read (Unicode's Cc, Cf, Zl and
/// Zp).
fn is_hidden(c: char) -> bool {
    let is_format = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}');
    c.is_control() || is_format
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves the cursor to the corner, in two ways; sets a window's title; reverses the
    /// rest.
    const HOSTILE: &str = "a\u{1b}[2J\u{9b}H\u{1b}]0;x\u{7}\u{202e}b\u{7f}";

    #[test]
    fn a_terminal_is_told_nothing_by_a_name() {
        let expected = "a\\u{1b}[2J\\u{9b}H\\u{1b}]0;x\\u{7}\\u{202e}b\\u{7f}";
        assert_eq!(foreign(HOSTILE), expected);
        assert_eq!(lines(HOSTILE), expected);
        assert_eq!(foreign("größe → ok"), "größe → ok");
        assert_eq!(foreign("two\nlines\t"), "two\\nlines\\t");
        assert_eq!(lines("two\nlines\r\t"), "two\nlines\\r\t");
    }

    #[test]
    fn a_long_text_is_shortened_and_a_short_one_is_not() {
        let long = "ö".repeat(LIMIT);
        assert_eq!(foreign(&long), long);
        assert_eq!(foreign(&format!("{long}x")), format!("{long}…"));
    }

    #[test]
    fn json_says_the_same_without_a_hidden_character() {
        let value = serde_json::json!({"name": format!("{HOSTILE}\u{e0041}\n")});
        let text = json(&serde_json::to_string_pretty(&value).expect("JSON"));
        assert!(text.chars().all(|c| c == '\n' || !is_hidden(c)), "{text:?}");
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, value);
    }
}
