//! Leases shared through etcd: what a claim and its release cost by the number of addresses
//! that are taken, and how many claims a second 32 hosts get, beside hosts that keep the pool
//! in one object and compare and swap it, on the same etcd.
//!
//!     cargo bench -p berth-integration --bench share
//!
//! Fails if a target is missed.
#![allow(
    clippy::print_stdout,
    reason = "standard output is what a benchmark is for"
)]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use berth_integration::etcd::Cluster;
use berth_integration::shared::SharedHost;
use berth_integration::{Benchmark, median};
use berth_share::etcd::{Etcd, Times};
use berth_share::registry::{Check, Outcome, Read, Registry, Transaction, Write};
use berth_share::{Claim, Holder, HostId, ShareError};

/// Claims and releases of each row, of which the median counts.
const ROUNDS: usize = 201;

/// Hosts at once.
const HOSTS: usize = 32;

/// How long they go on.
const RUN: Duration = Duration::from_secs(5);

/// A host that waits longer has lost.
const PATIENT: Times = Times {
    connect: Duration::from_secs(5),
    attempt: Duration::from_secs(30),
    total: Duration::from_secs(60),
    breaker: Duration::from_secs(1),
};

fn main() -> ExitCode {
    let mut benchmark = Benchmark::begin();
    alone(&mut benchmark);
    together(&mut benchmark);
    benchmark.end()
}

/// One host, etcd with one node.
fn alone(benchmark: &mut Benchmark) {
    println!("one host, one node, mTLS, medians of {ROUNDS} [ms]");
    println!("    range      taken     beat    claim  release   claim + release");
    let mut first = None;
    for (prefix_length, taken) in [(15, 10), (15, 1_000), (15, 65_000), (16, 64_879)] {
        let cluster = Cluster::start(1);
        let mut etcd = cluster.client(0, PATIENT, None);
        let host = SharedHost::new(cluster.directory(), "a", prefix_length);
        fill(&mut etcd, &host, taken);
        let (mut beats, mut claims, mut releases) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            etcd.begin(PATIENT.total);
            let began = Instant::now();
            expect(host.with(&mut etcd, |member| member.beat()));
            let beat = began.elapsed();
            let began = Instant::now();
            let claim = expect(host.claim(&mut etcd, "web"));
            // Its own beat is in it.
            claims.push(began.elapsed());
            beats.push(beat);
            let began = Instant::now();
            expect(host.with(&mut etcd, |member| member.give_back(&claim)));
            releases.push(began.elapsed());
        }
        let both = claims
            .iter()
            .zip(&releases)
            .map(|(claim, release)| *claim + *release);
        let both = median_ms(both.collect());
        let (beat, claim, release) = (median_ms(beats), median_ms(claims), median_ms(releases));
        println!(
            "      /{prefix_length} {taken:>10} {beat:>8.2} {claim:>8.2} {release:>8.2} {both:>17.2}"
        );
        let most = match first {
            None => f64::INFINITY,
            Some(first) if prefix_length == 15 => 2.0 * first,
            Some(_) => 10.0,
        };
        first = first.or(Some(both));
        if both > most {
            benchmark.miss(format!(
                "/{prefix_length}, {taken} taken: wanted at most {most:.2} ms"
            ));
        }
    }
}

/// Many hosts on a /22.
fn together(benchmark: &mut Benchmark) {
    for taken in [0, 970] {
        println!("{HOSTS} hosts on a /22, {taken} addresses taken, one node, mTLS, {RUN:?} each");
        println!("                               claims a second   worst wait [ms]");
        let cluster = Cluster::start(1);
        let object = storm(&cluster, |etcd, number| Swapped::new(etcd, number, taken));
        println!(
            "    one object, swapped       {:>15.0} {:>17.0}",
            object.0, object.1
        );
        let mut etcd = cluster.client(0, PATIENT, None);
        let filler = SharedHost::new(cluster.directory(), "filler", 22);
        fill(&mut etcd, &filler, taken);
        let shared = storm(&cluster, |_, number| {
            SharedHost::new(cluster.directory(), &format!("host{number}"), 22)
        });
        println!(
            "    a key for each address    {:>15.0} {:>17.0}",
            shared.0, shared.1
        );
        let ratio = shared.0 / object.0;
        println!("    ratio                     {ratio:>14.1}x   wanted: at least 10");
        if ratio < 10.0 {
            benchmark.miss(format!("{taken} addresses taken: {ratio:.1}x"));
        }
    }
}

/// Who claims and releases in a storm.
trait Claimant: Send {
    type Held;
    fn claim(&mut self, etcd: &mut Etcd) -> Self::Held;
    fn release(&mut self, etcd: &mut Etcd, held: Self::Held);
    fn address(held: &Self::Held) -> IpAddr;
}

impl Claimant for SharedHost {
    type Held = Claim;

    fn claim(&mut self, etcd: &mut Etcd) -> Claim {
        loop {
            match SharedHost::claim(self, etcd, "web") {
                Ok(claim) => return claim,
                // All others hold the last ones.
                Err(ShareError::Full { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn release(&mut self, etcd: &mut Etcd, held: Claim) {
        expect(self.with(etcd, |member| member.give_back(&held)));
    }

    fn address(held: &Claim) -> IpAddr {
        held.address
    }
}

/// A host that reads the list of all addresses, adds one, and writes it back if it is the
/// same still: whereabouts' way.
struct Swapped;

const POOL: &[u8] = b"/pool";

impl Swapped {
    fn new(etcd: &mut Etcd, number: usize, taken: usize) -> Self {
        if number == 0 {
            let all: Vec<_> = (1..=taken).map(nth).collect();
            expect(etcd.commit(&Transaction {
                writes: vec![Write::Put(POOL.to_vec(), list(&all))],
                ..Transaction::default()
            }));
        }
        Self
    }

    /// Reads, changes and swaps until nobody was faster.
    fn swap<T>(etcd: &mut Etcd, mut change: impl FnMut(&mut Vec<String>) -> Option<T>) -> T {
        loop {
            let found = expect(etcd.read(&[Read::Key(POOL.to_vec())]));
            let before = found[0].value().unwrap_or_default().to_vec();
            let mut all: Vec<String> = expect(serde_json::from_slice(&before));
            let Some(changed) = change(&mut all) else {
                continue;
            };
            let done = etcd.commit(&Transaction {
                checks: vec![Check::Is(POOL.to_vec(), before)],
                writes: vec![Write::Put(POOL.to_vec(), list(&all))],
                otherwise: Vec::new(),
            });
            if expect(done) == Outcome::Done {
                return changed;
            }
        }
    }
}

impl Claimant for Swapped {
    type Held = String;

    fn claim(&mut self, etcd: &mut Etcd) -> String {
        Self::swap(etcd, |all| {
            let taken: BTreeSet<_> = all.iter().cloned().collect();
            let free = (1..=1022).map(nth).find(|one| !taken.contains(one))?;
            all.push(free.clone());
            Some(free)
        })
    }

    fn release(&mut self, etcd: &mut Etcd, held: String) {
        Self::swap(etcd, |all| {
            all.retain(|one| *one != held);
            Some(())
        });
    }

    fn address(held: &String) -> IpAddr {
        expect(held.parse())
    }
}

fn nth(number: usize) -> String {
    let number = u32::try_from(number).unwrap_or_default();
    Ipv4Addr::from(0x0a00_0000 + number).to_string()
}

fn list(all: &[String]) -> Vec<u8> {
    expect(serde_json::to_vec(all))
}

/// Returns the claims a second of all, and the worst wait for one in milliseconds.
fn storm<C: Claimant>(
    cluster: &Cluster,
    make: impl Fn(&mut Etcd, usize) -> C + Sync,
) -> (f64, f64) {
    let (claimed, worst) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let over = AtomicBool::new(false);
    let held = std::sync::Mutex::new(BTreeSet::new());
    let mut hosts: Vec<_> = (0..HOSTS)
        .map(|number| {
            let mut etcd = cluster.client(0, PATIENT, None);
            let host = make(&mut etcd, number);
            (etcd, host)
        })
        .collect();
    thread::scope(|scope| {
        for (etcd, host) in &mut hosts {
            let (claimed, worst, over, held) = (&claimed, &worst, &over, &held);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    etcd.begin(PATIENT.total);
                    let began = Instant::now();
                    let claim = host.claim(etcd);
                    let wait = usize::try_from(began.elapsed().as_micros()).unwrap_or(0);
                    let address = C::address(&claim);
                    assert!(lock(held).insert(address), "{address} was claimed twice");
                    if !over.load(Ordering::Relaxed) {
                        claimed.fetch_add(1, Ordering::Relaxed);
                        worst.fetch_max(wait, Ordering::Relaxed);
                    }
                    lock(held).remove(&address);
                    host.release(etcd, claim);
                }
            });
        }
        thread::sleep(RUN);
        over.store(true, Ordering::Relaxed);
    });
    #[allow(clippy::cast_precision_loss, reason = "of thousands")]
    let (claimed, worst) = (claimed.into_inner() as f64, worst.into_inner() as f64);
    (claimed / RUN.as_secs_f64(), worst / 1000.0)
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Puts so many addresses of another host there, spread over the range.
fn fill(etcd: &mut Etcd, host: &SharedHost, taken: usize) {
    expect(host.with(etcd, |member| member.beat()));
    let IpAddr::V4(last) = host.range.last() else {
        return;
    };
    let size = (u32::from(last) & 0x00ff_ffff) as usize;
    let holder = Holder {
        host: HostId::new(7),
        store: "/run/berth".to_owned(),
        container: "f".repeat(64),
        name: "filler".to_owned(),
        nonce: "0".repeat(32),
    };
    let spread: Vec<_> = (0..taken).map(|number| number * size / taken + 1).collect();
    for some in spread.chunks(100) {
        let claims = some
            .iter()
            .map(|number| holder.claim(expect(nth(*number).parse())));
        let writes = claims
            .map(|claim| Write::Put(host.keys.address(claim.address), claim.value.into_bytes()));
        etcd.begin(PATIENT.total);
        expect(etcd.commit(&Transaction {
            writes: writes.collect(),
            ..Transaction::default()
        }));
    }
}

/// Returns the median in milliseconds.
fn median_ms(times: Vec<Duration>) -> f64 {
    median(times).as_secs_f64() * 1000.0
}

fn expect<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
