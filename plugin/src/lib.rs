//! IP address management for Podman that cannot leak.
//!
//! The library behind all of berth's front ends. `ARCHITECTURE.md` describes how data
//! flows and what each crash leaves behind. The code uses the names from there.

pub mod delegate;
pub mod frontend;
pub mod lifecycle;
pub mod logging;
mod netlink;
pub mod podman;
pub mod protocol;
pub mod rules;
pub mod sharing;
pub mod sight;
pub mod store;
pub mod text;
pub mod upkeep;

/// Returns an error and its causes as one line, joined with `: `.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
