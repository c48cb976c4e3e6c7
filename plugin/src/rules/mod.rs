//! What berth decides, and by which rules: pure functions of values. Nothing in here
//! reads a file, a clock or the kernel (checked by `tests/rooms.rs`).

pub mod allocator;
pub mod attachment;
pub mod evidence;
pub mod lease;
pub mod network_config;
pub mod options;
pub mod pledge;
pub mod pool;
pub mod process;
pub mod settings;
pub mod verdict;
