//! What an address costs, however many are leased.
//!
//! 1. In process, in a /14: a whole transaction (prepare, choose, lease, commit,
//!    flush). The cursor stands at the start of the leased run, so that an
//!    allocator that walked past leased addresses would walk all of them.
//! 2. One process per call, as plugins run, beside CNI's `host-local`, whose
//!    cursor stands at the end of the run: it has nothing to walk.
//!
//! Both on tmpfs. Fails if a target is missed.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

#[path = "../../plugin/tests/fixture/mod.rs"]
mod fixture;

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use berth::rules::allocator::{Decision, Request, choose};
use berth::rules::lease::{Kind, NetworkId};
use berth::rules::options::Order;
use berth::rules::pool::Pool;
use berth::store::{EngineKind, LockFile, Store};
use fixture::{at, pool, tenant};

const LEASE_ONCE: &str = env!("CARGO_BIN_EXE_lease-once");
const NETWORK: &str = "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9";
const SUBNET: &str = "10.0.0.0/14";

/// How many times longer allocating may take among 250,000 leases than among 10.
const MOST_GROWTH: f64 = 2.0;
/// How many times longer than host-local one process may take at 10 leases.
const MOST_AT_10: f64 = 4.0;
/// How many times faster than host-local one process must be at 65,000 leases.
const LEAST_AT_65000: f64 = 40.0;

/// A directory on tmpfs that is removed when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new("/dev/shm").join(format!("berth-bench-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a tmpfs on /dev/shm");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn container(number: u32) -> String {
    format!("{number:064x}")
}

/// Returns the address of the n-th lease: the subnet's first is never leased, its
/// second is the gateway.
fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0002 + number).into()
}

fn slash_14() -> Pool {
    pool(SUBNET, "10.0.0.1", "", &[])
}

/// Leases the first `count` addresses and sets the cursor to the first. One
/// transaction per lease, as in real life: larger ones leave sled's file with other
/// holes, and opening clears all of them.
fn fill(store: &Store<'_>, count: u32) {
    let network = NetworkId::from(NETWORK);
    let pool = slash_14();
    for number in 0..count {
        let mut transaction = store.begin();
        transaction
            .prepare(&network, std::slice::from_ref(&pool), at(1))
            .unwrap();
        let new = tenant(NETWORK, &container(number), at(1));
        transaction
            .lease_to(new, &[(address(number), Kind::Dynamic)])
            .unwrap();
        transaction
            .set_cursor(&network, pool.subnet(), address(0))
            .unwrap();
        transaction.commit(at(1)).unwrap();
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Returns the medians of leasing one more address, and of releasing it.
fn in_process(count: u32) -> (Duration, Duration) {
    let scratch = Scratch::new(&format!("in-process-{count}"));
    let mut lock = LockFile::open(&scratch.0).unwrap();
    let guard = lock.acquire(Duration::ZERO, "bench", || true).unwrap();
    let store = Store::open(
        &scratch.0,
        &guard,
        EngineKind::default(),
        fixture::BOOT,
        at(1),
    )
    .unwrap();
    fill(&store, count);
    let network = NetworkId::from(NETWORK);
    let pool = slash_14();
    let pools = [pool];
    let new = tenant(NETWORK, &container(u32::MAX), at(1));
    let request = Request {
        tenancy: &new.tenancy,
        container_name: &new.container_name,
        static_ips: &[],
        current: None,
        pledges: &[],
        order: Order::Next,
        random: 0,
    };
    let (mut leasing, mut releasing) = (Vec::new(), Vec::new());
    for _ in 0..301 {
        let start = Instant::now();
        let mut transaction = store.begin();
        transaction.prepare(&network, &pools, at(2)).unwrap();
        let decision = choose(&transaction.shelf(&network), &pools, &request).unwrap();
        let Decision::Lease(choice) = decision else {
            panic!("there are free addresses");
        };
        let leased = transaction.lease_to(new.clone(), &choice).unwrap();
        transaction.commit(at(2)).unwrap();
        leasing.push(start.elapsed());
        assert_eq!(choice, [(address(count), Kind::Dynamic)]);
        let start = Instant::now();
        let mut transaction = store.begin();
        let generation = leased.leased[0].generation;
        transaction
            .release(&leased.tenancy, address(count), generation, None)
            .unwrap();
        transaction.commit(at(2)).unwrap();
        releasing.push(start.elapsed());
    }
    (median(&mut leasing), median(&mut releasing))
}

/// Runs a command with a text on stdin; returns the time from start to end.
fn timed(command: &mut Command, input: &str) -> Duration {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let time = start.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {text}");
    time
}

/// Medians of both verbs.
struct Pair {
    add: Duration,
    del: Duration,
}

/// Returns what ours and host-local's take, call by call in turns.
fn process_per_call(host_local: &Path, count: u32, rounds: usize) -> (Pair, Pair) {
    let (ours, theirs) = (
        Scratch::new(&format!("ours-{count}")),
        Scratch::new(&format!("host-local-{count}")),
    );
    {
        let mut lock = LockFile::open(&ours.0).unwrap();
        let guard = lock.acquire(Duration::ZERO, "bench", || true).unwrap();
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        fill(
            &Store::open(
                &ours.0,
                &guard,
                EngineKind::default(),
                boot_id.trim_end(),
                at(1),
            )
            .unwrap(),
            count,
        );
    }
    let addresses = theirs.0.join("bench");
    fs::create_dir_all(&addresses).unwrap();
    for number in 0..count {
        let file = addresses.join(address(number).to_string());
        fs::write(file, format!("{}\r\neth0", container(number))).unwrap();
    }
    fs::write(
        addresses.join("last_reserved_ip.0"),
        address(count - 1).to_string(),
    )
    .unwrap();
    let conf = serde_json::json!({
        "cniVersion": "1.0.0", "name": "bench", "type": "bridge",
        "ipam": {
            "type": "host-local", "dataDir": &theirs.0,
            "ranges": [[{"subnet": SUBNET, "gateway": "10.0.0.1"}]],
        },
    })
    .to_string();
    let id = container(u32::MAX);
    let request = tenant(NETWORK, &id, at(1)).request;
    let request = serde_json::to_string(&request).unwrap();
    let cni = |verb: &str| {
        let mut command = Command::new(host_local);
        command
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &id)
            .env("CNI_NETNS", "/proc/self/ns/net")
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/usr/lib/cni");
        timed(&mut command, &conf)
    };
    let berth = |verb: &str| timed(Command::new(LEASE_ONCE).arg(verb).arg(&ours.0), &request);
    let mut times: [Vec<Duration>; 4] = Default::default();
    // The first round warms caches.
    for round in 0..=rounds {
        let run = [berth("add"), berth("del"), cni("ADD"), cni("DEL")];
        if round > 0 {
            for (times, time) in times.iter_mut().zip(run) {
                times.push(time);
            }
        }
    }
    let [add, del, cni_add, cni_del] = times.map(|mut times| median(&mut times));
    (
        Pair { add, del },
        Pair {
            add: cni_add,
            del: cni_del,
        },
    )
}

fn main() -> ExitCode {
    let Some(host_local) = berth_integration::debian_file("usr/lib/cni/host-local") else {
        println!("host-local is missing: run integration/lab/prepare");
        return ExitCode::FAILURE;
    };
    let mut missed = Vec::new();
    println!("one transaction in process, in {SUBNET}, median of 301 [us]");
    println!(
        "{:>8}  {:>8}  {:>8}  {:>8}",
        "leases", "lease", "release", "growth"
    );
    let mut base = None;
    for count in [10, 1_000, 65_000, 250_000] {
        let (lease, release) = in_process(count);
        let growth = micros(lease) / micros(*base.get_or_insert(lease));
        println!(
            "{count:>8}  {:>8.0}  {:>8.0}  {growth:>7.2}x",
            micros(lease),
            micros(release)
        );
        if growth > MOST_GROWTH {
            missed.push(format!(
                "{count} leases: {growth:.2}x, at most {MOST_GROWTH}x"
            ));
        }
    }
    println!("\none process per call, beside host-local, medians of 31 [ms]");
    println!(
        "{:>8}  {:>9}  {:>9}  {:>14}  {:>14}  {:>9}",
        "leases", "berth add", "berth del", "host-local ADD", "host-local DEL", "ADD ratio"
    );
    for count in [10, 1_000, 65_000] {
        let (ours, theirs) = process_per_call(&host_local, count, 31);
        let ratio = millis(theirs.add) / millis(ours.add);
        println!(
            "{count:>8}  {:>9.2}  {:>9.2}  {:>14.2}  {:>14.2}  {ratio:>8.2}x",
            millis(ours.add),
            millis(ours.del),
            millis(theirs.add),
            millis(theirs.del)
        );
        if count == 10 && ratio * MOST_AT_10 < 1.0 {
            missed.push(format!(
                "10 leases: {:.2}x slower, at most {MOST_AT_10}x",
                1.0 / ratio
            ));
        }
        if count == 65_000 && ratio < LEAST_AT_65000 {
            missed.push(format!(
                "65,000 leases: {ratio:.1}x, at least {LEAST_AT_65000}x"
            ));
        }
    }
    for miss in &missed {
        println!("missed: {miss}");
    }
    if missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
