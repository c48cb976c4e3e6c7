//! Fuzzes the reader of `ipam.db`: whatever the bytes are, it never panics, hangs or
//! takes more than 64 MiB, and what it says about them is consistent.
//!
//! `BERTH_FUZZ_BREAK=memory|time|panic` breaks one of these promises on purpose, at the
//! first input: `run` starts with all three, to show that each would be noticed.
#![no_main]

#[allow(dead_code, unreachable_pub, reason = "only the reader is used")]
#[path = "../../src/bolt/mod.rs"]
mod bolt;
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "only the dump is used"
)]
mod ipam;
mod mutator;

use std::alloc::System;
use std::hint;
use std::io;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use std::{env, thread};

use cap::Cap;
use ipam::dump::dump;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

/// The most that Rust code may have allocated at any time: reader, content and dump. One
/// byte more fails to be allocated, which ends the process, and libFuzzer keeps the
/// input.
const MEMORY: usize = 64 << 20;
/// How long one input may take: 100 times what the largest does.
const TIME: Duration = Duration::from_secs(2);

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MEMORY);

static BREAK: LazyLock<String> = LazyLock::new(|| env::var("BERTH_FUZZ_BREAK").unwrap_or_default());

fuzz_target!(|file: &[u8]| {
    let start = Instant::now();
    read(file);
    match BREAK.as_str() {
        "memory" => drop(hint::black_box(vec![1u8; MEMORY])),
        "time" => thread::sleep(TIME),
        "panic" => assert_eq!(file, b"", "broken on purpose"),
        _ => {}
    }
    assert!(start.elapsed() < TIME, "it took {:?}", start.elapsed());
});

fn read(file: &[u8]) {
    let read = bolt::read(file);
    let salvaged = bolt::salvage(file);
    match (&read, &salvaged) {
        // A sound file is salvaged whole. A meta page that nobody uses can be damaged.
        (Ok(root), Ok(salvaged)) => {
            assert!(salvaged.root == *root);
            assert!(salvaged.skipped.iter().all(|damage| damage.page < 2));
        }
        // A damaged file is never salvaged silently.
        (Err(_), Ok(salvaged)) => assert!(!salvaged.skipped.is_empty()),
        (Err(_), Err(_)) => {}
        (Ok(_), Err(damage)) => panic!("read, but not salvaged: {damage}"),
    }
    if let Ok(salvaged) = salvaged {
        let content = dump(&salvaged.root);
        serde_json::to_writer(io::sink(), &content).expect("it can always be printed");
    }
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutator::mutate(data, size, max_size, seed)
});
