//! IP address management for Podman that cannot leak.
//!
//! The library behind all of berth's front ends. `ARCHITECTURE.md` tells how
//! data flows and which crash leaves what; the names used there are used here.

pub mod allocator;
pub mod collect;
pub mod containers_conf;
pub mod delegate;
pub mod doctor;
pub mod evidence;
pub mod frontend;
pub mod host;
pub mod lease;
pub mod lifecycle;
pub mod logging;
mod netlink;
pub mod network_config;
pub mod options;
pub mod podman;
pub mod pool;
pub mod protocol;
pub mod rebuild;
pub mod reclaim;
pub mod store;
pub mod survey;

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
