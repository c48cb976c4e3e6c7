//! Processes that take more than their share: memory by endless arguments, and addresses by an
//! interface of their own.

use berth_integration::ip;

use super::{lab, stranger};

/// A process whose arguments are 64 GiB of zeros that were never written.
const BOMB: &str = r#"
import ctypes, signal, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.sbrk.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
NAME, MM, MM_MAP = 15, 35, 14
size = 64 << 30
start = libc.mmap(None, size, 1, 0x4022, -1, 0)
stat = open('/proc/self/stat').read().rsplit(')', 1)[1].split()
field = lambda n: int(stat[n - 3])
layout = struct.pack('11QQIi', field(26), field(27), field(45), field(46), field(47),
    libc.sbrk(0), field(28), start, start + size, field(50), field(51), 0, 0, -1)
assert libc.prctl(NAME, b'podman', 0, 0, 0) == 0
assert libc.prctl(MM, MM_MAP, layout, len(layout), 0) == 0, ctypes.get_errno()
open('/tmp/stranger-is-ready', 'w').close()
signal.pause()
"#;

#[test]
fn endless_arguments_cost_nobody_memory_or_time() {
    let (lab, network) = lab();
    lab.write("/tmp/bomb.py", BOMB);
    stranger(&lab, "exec python3 /tmp/bomb.py");
    lab.container("c", &["n"]).start();
    // Kilobytes of address space.
    lab.sh("ulimit -v 2000000; berth gc");
    lab.sh("ulimit -v 2000000; berth-migrate inspect");
    lab.remove("c");
    lab.assert_clean(&network);
}

/// With NET_ADMIN, a container can give its own interface the address of a stopped service,
/// and any number of others.
#[test]
fn a_container_leases_no_address_by_taking_it() {
    let (lab, network) = lab();
    let greedy = lab.container("greedy", &["n"]);
    greedy.option("--cap-add", "NET_ADMIN").start();
    let own = lab.addresses("greedy", "eth0");
    let script = "ip address add 10.77.0.9/24 dev eth0
        for last in $(seq 100 250); do ip address add 10.77.0.$last/24 dev eth0; done";
    lab.inside("greedy", "sh").args(["-euc", script]).ok();
    lab.cmd("berth").arg("gc").ok();
    let leases = lab.leases(&network).of(&network);
    assert_eq!(leases, [format!("{own:?} bound to greedy")]);
    lab.container("service", &["n"]).ip("10.77.0.9").start();
    assert_eq!(lab.addresses("service", "eth0"), [ip("10.77.0.9")]);
    for name in ["service", "greedy"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}
