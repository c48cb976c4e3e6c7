//! How times and ids are shown to people.

use std::time::Duration;

use crate::rules::lease::short_id;

/// Returns a time in its two largest units: `45s`, `3m 12s`, `5d 2h`.
pub(super) fn short(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut rest = time.as_secs();
    let mut words = Vec::new();
    for (size, unit) in UNITS {
        let count = rest / size;
        rest %= size;
        if count > 0 || (size == 1 && words.is_empty()) {
            words.push(format!("{count}{unit}"));
        } else if !words.is_empty() {
            break;
        }
        if words.len() == 2 {
            break;
        }
    }
    words.join(" ")
}

/// Returns a container's id, whole or only its beginning, as Podman lists containers.
pub(super) fn shown_id(id: &str, whole: bool) -> &str {
    match whole {
        true => id,
        false => short_id(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units_at_most() {
        let check = |seconds, expected| {
            assert_eq!(short(Duration::from_secs(seconds)), expected);
        };
        check(0, "0s");
        check(45, "45s");
        check(192, "3m 12s");
        check(180, "3m");
        check(3605, "1h");
        check(86_400 * 5 + 7200 + 60, "5d 2h");
    }
}
