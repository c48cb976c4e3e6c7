//! What an address costs, however many are leased.
//!
//! 1. In process, in a /14: a whole transaction (prepare, choose, lease, commit,
//!    flush). The cursor stands at the start of the leased run, so that an
//!    allocator that walked past leased addresses would walk all of them.
//! 2. One process per call, as plugins run, beside CNI's `host-local`, whose
//!    cursor stands at the end of the run: it has nothing to walk. And the first call
//!    after one was killed with the store open.
//!
//! Each with both engines, in turn. All on tmpfs. Fails if a target is missed by the
//! default engine.
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
use berth_integration::{Benchmark, median};
use fixture::{at, pool, tenant};

const LEASE_ONCE: &str = env!("CARGO_BIN_EXE_lease-once");
const NETWORK: &str = "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9";
const SUBNET: &str = "10.0.0.0/14";

/// How many times longer allocating may take among 250,000 leases than among 10.
const MOST_GROWTH: f64 = 1.3;
/// What one process may take at most, by the number of leases, as a part of host-local's
/// time.
const MOST_OF_HOST_LOCAL: [(u32, f64); 3] = [(10, 0.6), (1_000, 0.2), (65_000, 1.0 / 200.0)];
/// What the first process after a kill may take among 65,000 leases.
const MOST_AFTER_A_KILL: Duration = Duration::from_millis(10);

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

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Returns the medians of leasing one more address, and of releasing it, in a store for each
/// of the counts. The stores take turns, and with each, a first transaction is not timed.
fn in_process<const N: usize>(engine: EngineKind, counts: [u32; N]) -> [(Duration, Duration); N] {
    let scratches = counts.map(|count| Scratch::new(&format!("in-process-{count}")));
    let mut locks = scratches
        .each_ref()
        .map(|scratch| LockFile::open(&scratch.0).unwrap());
    let guards = locks
        .each_mut()
        .map(|lock| lock.acquire(Duration::ZERO, "bench", || true).unwrap());
    let stores: [_; N] = std::array::from_fn(|nth| {
        let (path, guard) = (&scratches[nth].0, &guards[nth]);
        let store = Store::open(path, guard, engine, fixture::BOOT, at(1)).unwrap();
        fill(&store, counts[nth]);
        store
    });
    let mut times = counts.map(|_| (Vec::new(), Vec::new()));
    for _ in 0..301 {
        for ((store, count), (leasing, releasing)) in stores.iter().zip(counts).zip(&mut times) {
            lease_and_release(store, count);
            let (lease, release) = lease_and_release(store, count);
            leasing.push(lease);
            releasing.push(release);
        }
    }
    times.map(|(leasing, releasing)| (median(leasing), median(releasing)))
}

/// Leases the address after the first `count`, and releases it; returns how long each took.
fn lease_and_release(store: &Store<'_>, count: u32) -> (Duration, Duration) {
    let network = NetworkId::from(NETWORK);
    let pools = [slash_14()];
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
    let start = Instant::now();
    let mut transaction = store.begin();
    transaction.prepare(&network, &pools, at(2)).unwrap();
    let decision = choose(&transaction.shelf(&network), &pools, &request).unwrap();
    let Decision::Lease(choice) = decision else {
        panic!("there are free addresses");
    };
    let leased = transaction.lease_to(new.clone(), &choice).unwrap();
    transaction.commit(at(2)).unwrap();
    let leasing = start.elapsed();
    assert_eq!(choice, [(address(count), Kind::Dynamic)]);
    let start = Instant::now();
    let mut transaction = store.begin();
    let generation = leased.leased[0].generation;
    transaction
        .release(&leased.tenancy, address(count), generation, None)
        .unwrap();
    transaction.commit(at(2)).unwrap();
    (leasing, start.elapsed())
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

/// What a call takes.
struct Times {
    add: Duration,
    del: Duration,
    /// A `del` after an `add` that was killed. host-local cannot be.
    after_kill: Option<Duration>,
}

/// Makes a store with `count` leases.
fn filled(engine: EngineKind, count: u32) -> Scratch {
    let scratch = Scratch::new(&format!("{}-{count}", engine.name()));
    let mut lock = LockFile::open(&scratch.0).unwrap();
    let guard = lock.acquire(Duration::ZERO, "bench", || true).unwrap();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let store = Store::open(&scratch.0, &guard, engine, boot_id.trim_end(), at(1));
    fill(&store.unwrap(), count);
    scratch
}

/// Returns what each engine and host-local take, call by call in turns.
fn process_per_call(
    host_local: &Path,
    count: u32,
    rounds: usize,
) -> ([(EngineKind, Times); 2], Times) {
    let ours = EngineKind::ALL.map(|engine| filled(engine, count));
    let theirs = Scratch::new(&format!("host-local-{count}"));
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
    let call = |verb: &str, store: &Scratch| {
        let mut command = Command::new(LEASE_ONCE);
        command.arg(verb).arg(&store.0);
        command
    };
    let berth = |verb: &str, store| timed(&mut call(verb, store), &request);
    let after_kill = |store| {
        let mut child = call("die", store).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(request.as_bytes()).unwrap();
        drop(stdin);
        assert_eq!(child.wait().unwrap().code(), None, "it was killed");
        berth("del", store)
    };
    let mut times: [[Vec<Duration>; 3]; 3] = Default::default();
    for _ in 0..rounds {
        // A call of its own first: what the one before has left in the processor's caches,
        // host-local most, is not to count.
        let [redb, sled] = ours.each_ref().map(|store| {
            berth("add", store);
            berth("del", store);
            [berth("add", store), berth("del", store), after_kill(store)]
        });
        cni("ADD");
        cni("DEL");
        let run = [redb, sled, [cni("ADD"), cni("DEL"), Duration::ZERO]];
        for (times, time) in times.iter_mut().flatten().zip(run.into_iter().flatten()) {
            times.push(time);
        }
    }
    let [redb, sled, cni] = times.map(|[add, del, after_kill]| Times {
        add: median(add),
        del: median(del),
        after_kill: Some(median(after_kill)).filter(|time| !time.is_zero()),
    });
    let [first, second] = EngineKind::ALL;
    ([(first, redb), (second, sled)], cni)
}

fn main() -> ExitCode {
    let Some(host_local) = berth_integration::debian_file("usr/lib/cni/host-local") else {
        println!("host-local is missing: run integration/lab/prepare");
        return ExitCode::FAILURE;
    };
    let mut benchmark = Benchmark::begin();
    println!("one transaction in process, in {SUBNET}, median of 301 [us]");
    println!(
        "{:<10} {:>8}  {:>8}  {:>8}  {:>8}",
        "", "leases", "lease", "release", "growth"
    );
    for engine in EngineKind::ALL {
        let counts = [10, 1_000, 65_000, 250_000];
        let times = in_process(engine, counts);
        for (count, (lease, release)) in counts.into_iter().zip(times) {
            let growth = micros(lease) / micros(times[0].0);
            println!(
                "{:<10} {count:>8}  {:>8.0}  {:>8.0}  {growth:>7.2}x",
                engine.name(),
                micros(lease),
                micros(release)
            );
            if engine == EngineKind::default() && growth > MOST_GROWTH {
                benchmark.miss(format!(
                    "{count} leases: {growth:.2}x, at most {MOST_GROWTH}x"
                ));
            }
        }
    }
    println!("\none process per call, medians of 31 [ms]");
    println!(
        "{:<10} {:>8}  {:>8}  {:>8}  {:>12}  {:>14}",
        "", "leases", "add", "del", "after a kill", "add/host-local"
    );
    for (count, most) in MOST_OF_HOST_LOCAL {
        let (ours, theirs) = process_per_call(&host_local, count, 31);
        let row = |name: &str, times: &Times| {
            let after_kill = times
                .after_kill
                .map_or(String::new(), |time| format!("{:.2}", millis(time)));
            println!(
                "{name:<10} {count:>8}  {:>8.2}  {:>8.2}  {after_kill:>12}  {:>14.4}",
                millis(times.add),
                millis(times.del),
                millis(times.add) / millis(theirs.add)
            );
        };
        row("host-local", &theirs);
        for (engine, times) in &ours {
            row(engine.name(), times);
            let part = millis(times.add) / millis(theirs.add);
            if *engine != EngineKind::default() {
                continue;
            }
            if part > most {
                benchmark.miss(format!(
                    "{count} leases: {part:.4} of host-local's time, at most {most:.4}"
                ));
            }
            if times.after_kill > Some(MOST_AFTER_A_KILL) {
                benchmark.miss(format!(
                    "{count} leases: {:.1} ms after a kill, at most {:.0} ms",
                    times.after_kill.map_or(0.0, millis),
                    millis(MOST_AFTER_A_KILL)
                ));
            }
        }
    }
    benchmark.end()
}
