//! Fuzzes the reading of `/proc`: whatever a process or a namespace shows there, it is read
//! without a panic, in bounded memory and time.
#![no_main]

mod guard;
#[allow(dead_code, reason = "only what the readers name is used")]
mod rules;

#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "only the readers are used"
)]
#[path = "room_proc.rs"]
mod sight;

use libfuzzer_sys::fuzz_target;
use procfs_core::FromRead;
use procfs_core::process::Stat;

/// The rest of `/proc/PID/stat`, which the kernel writes.
const REST: &[u8] = b") S 41 7 7 0 -1 4194304 124 0 0 0 0 0 0 0 20 0 1 0 3944736 3133440 412 \
18446744073709551615 1 2 3 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

fuzz_target!(|input: &[u8]| {
    guard::watched(input, |input| {
        sight::read(input);
        // It is procfs' own: a process gives itself the name, and nothing else in there.
        let name = input.get(..15).unwrap_or(input);
        let stat = Stat::from_read([b"7 (", name, REST].concat().as_slice());
        let stat = stat.expect("the kernel's part is sound");
        assert_eq!((stat.pid, stat.ppid), (7, 41));
        assert_eq!(stat.comm, String::from_utf8_lossy(name));
    });
});
