//! The rules by which berth decides, as pure functions of values. Nothing here reads a file, a
//! clock or the kernel (checked by `tests/rooms.rs`).

pub mod allocator;
pub mod attachment;
pub mod bridge;
pub mod doubt;
pub mod evidence;
pub mod history;
pub mod lease;
pub mod network_config;
pub mod options;
pub mod pledge;
mod podman_command;
pub mod pool;
pub mod ports;
pub mod process;
pub mod roster;
pub mod settings;
pub mod share;
pub mod verdict;
