//! What berth answers to: one module per verb or group of verbs.

pub mod create;
