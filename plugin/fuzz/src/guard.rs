//! What every fuzzer promises of one input: no panic, no more memory than this, no more
//! time. `BERTH_FUZZ_BREAK=memory|time|panic` breaks one of these on purpose, at the first
//! input: `run` starts with all three, to show that each would be noticed.

use std::alloc::System;
use std::hint;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use std::{env, thread};

use cap::Cap;

/// All that Rust code may have allocated at any time. One byte more fails to be allocated,
/// which ends the process, and libFuzzer keeps the input.
const MEMORY: usize = 64 << 20;
/// How long one input may take.
const TIME: Duration = Duration::from_secs(2);

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MEMORY);

static BREAK: LazyLock<String> = LazyLock::new(|| env::var("BERTH_FUZZ_BREAK").unwrap_or_default());

/// Reads one input within bounds.
pub fn watched(input: &[u8], read: impl FnOnce(&[u8])) {
    let start = Instant::now();
    read(input);
    match BREAK.as_str() {
        "memory" => drop(hint::black_box(vec![1u8; MEMORY])),
        "time" => thread::sleep(TIME),
        "panic" => panic!("broken on purpose"),
        _ => {}
    }
    assert!(start.elapsed() < TIME, "it took {:?}", start.elapsed());
}
