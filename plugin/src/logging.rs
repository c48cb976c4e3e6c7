//! Logging to standard error, which is the user's terminal.

use std::env;
use std::io::Write;

use env_logger::{Builder, Target};
use log::LevelFilter;

use crate::text;

/// Our own filter: a level, or anything env_logger understands.
pub const LOG_VARIABLE: &str = "BERTH_LOG";

/// Starts logging at the level of [`LOG_VARIABLE`], otherwise at Podman's, otherwise at
/// `warn`.
///
/// Podman passes its level as `RUST_LOG=netavark=<level>` (`getRustLogEnv`); with that
/// alone, env_logger would drop all our messages.
pub fn start() {
    let own = env::var(LOG_VARIABLE)
        .ok()
        .filter(|filter| !filter.is_empty());
    let rust = env::var("RUST_LOG").ok();
    let mut builder = Builder::new();
    match (own, rust.as_deref().and_then(podmans_level)) {
        (Some(filter), _) => builder.parse_filters(&filter),
        (None, Some(level)) => builder.filter_module("berth", level),
        (None, None) => builder.filter_level(LevelFilter::Warn),
    };
    builder.format(|out, record| {
        let text = text::lines(&record.args().to_string());
        writeln!(out, "[{:<5} {}] {text}", record.level(), record.target())
    });
    builder.target(Target::Stderr).init();
}

/// Returns the level that a `RUST_LOG` gives netavark.
fn podmans_level(filter: &str) -> Option<LevelFilter> {
    filter
        .split(',')
        .find_map(|rule| rule.trim().strip_prefix("netavark="))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_level_is_found_in_rust_log() {
        assert_eq!(podmans_level("netavark=debug"), Some(LevelFilter::Debug));
        assert_eq!(
            podmans_level("foo=info, netavark=warn"),
            Some(LevelFilter::Warn)
        );
        assert_eq!(podmans_level("netavark=panic"), None);
        assert_eq!(podmans_level("info"), None);
    }
}
