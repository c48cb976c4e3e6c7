//! What a plugin prints: its description, or one error.

use serde::Serialize;

/// The plugin API version that netavark expects (netavark `plugin.rs`, `API_VERSION`).
pub const API_VERSION: &str = "1.0.0";

/// The answer to the `info` verb.
#[derive(Debug, Serialize)]
pub struct Info {
    pub version: &'static str,
    pub api_version: &'static str,
}

impl Info {
    /// Returns the description of this build.
    pub const fn current() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            api_version: API_VERSION,
        }
    }
}

/// Returns the error document: exactly `{"error": "…"}`.
///
/// Podman refuses any other field (`execBinary` decodes with `DisallowUnknownFields`), so
/// nothing may be added here.
pub fn error_envelope(message: &str) -> serde_json::Value {
    serde_json::json!({ "error": message })
}
