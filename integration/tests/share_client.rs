//! The crate `share` against a real etcd with mTLS: what is claimed stays claimed, whichever node
//! of the cluster dies meanwhile; and if there is no quorum, claims are refused in time.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use berth_integration::etcd::{Cluster, endpoint};
use berth_integration::shared::SharedHost;
use berth_integration::wait_until;
use berth_share::etcd::{Etcd, Times};
use berth_share::evict::{Evidence, PROBES, Probed};
use berth_share::operator::{self, Rejoin};
use berth_share::{Claim, HostId, Lease, Proof, RegistryError, ShareError};

const PATIENCE: Duration = Duration::from_secs(30);

/// A bit longer than a command may take, because the machine is shared.
const LIMIT: Duration = Duration::from_millis(4500);

fn times() -> Times {
    Times::default()
}

#[test]
fn an_address_is_claimed_once_verified_and_given_back() {
    let cluster = Cluster::start(1);
    let (a, b) = hosts(&cluster);
    let mut etcd = cluster.client(0, times(), None);
    let claim = a.claim(&mut etcd, "web").unwrap();
    let key = String::from_utf8(a.keys.address(claim.address)).unwrap();
    let there = cluster.etcdctl(0, &["get", "--print-value-only", &key]);
    assert_eq!(there.unwrap().trim_end(), claim.value);

    let refused = b.claim_static(&mut etcd, "db", claim.address);
    let told = refused.unwrap_err().to_string();
    let expected = format!(
        "the address {} is already allocated to container web (web) on host a",
        claim.address
    );
    assert_eq!(told, expected);

    let claims = std::slice::from_ref(&claim);
    let proof = a.with(&mut etcd, |member| member.verify(claims)).unwrap();
    assert_eq!(proof, Proof::Held);
    // b cannot give back a claim that is not its own.
    assert!(
        b.with(&mut etcd, |member| member.give_back(&claim))
            .unwrap()
    );
    let proof = a.with(&mut etcd, |member| member.verify(claims)).unwrap();
    assert_eq!(proof, Proof::Held);
    assert!(
        a.with(&mut etcd, |member| member.give_back(&claim))
            .unwrap()
    );
    let proof = a.with(&mut etcd, |member| member.verify(claims)).unwrap();
    assert_eq!(proof, Proof::Lost(claim.address, None));
    b.claim_static(&mut etcd, "db", claim.address).unwrap();
}

#[test]
fn terms_that_differ_are_refused_with_both_values() {
    let cluster = Cluster::start(1);
    let (a, mut b) = hosts(&cluster);
    let mut etcd = cluster.client(0, times(), None);
    a.claim(&mut etcd, "web").unwrap();
    b.terms.subnets[0].gateway = Some("10.0.0.1".parse().unwrap());
    let refused = b.claim(&mut etcd, "web").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the network and the share differ in gateway of 10.0.0.0/24: 10.0.0.1 here, none in \
         the share"
    );
}

#[test]
fn the_leader_is_killed_and_claims_go_on() {
    let mut cluster = Cluster::start(3);
    let (a, _) = hosts(&cluster);
    let leader = cluster.leader().unwrap();
    let mut etcd = cluster.client(leader, times(), None);
    a.claim(&mut etcd, "before").unwrap();
    cluster.kill(leader);
    let began = Instant::now();
    etcd.begin(times().total);
    a.claim(&mut etcd, "after").unwrap();
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
}

/// The leader's connections stay open and say nothing: only a timeout shows it.
#[test]
fn the_leader_falls_silent_and_claims_go_on() {
    let cluster = Cluster::start(3);
    let (a, _) = hosts(&cluster);
    let leader = cluster.leader().unwrap();
    let mut etcd = cluster.client(leader, times(), None);
    a.claim(&mut etcd, "before").unwrap();
    cluster.freeze(leader);
    let began = Instant::now();
    etcd.begin(times().total);
    a.claim(&mut etcd, "after").unwrap();
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    cluster.resume(leader);
}

#[test]
fn without_a_quorum_it_is_refused_in_time_and_then_at_once() {
    let mut cluster = Cluster::start(3);
    let (a, _) = hosts(&cluster);
    let mut times = times();
    times.breaker = Duration::from_secs(2);
    let mut etcd = cluster.client(0, times, None);
    a.claim(&mut etcd, "before").unwrap();
    let survivor = 0;
    (1..3).for_each(|node| cluster.kill(node));

    let mut etcd = cluster.client(survivor, times, Some(a.breaker()));
    let began = Instant::now();
    let refused = a.claim(&mut etcd, "without").unwrap_err();
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    let told = refused.to_string();
    assert!(
        told.starts_with("no quorum of etcd has answered within 4000 ms"),
        "{told}"
    );
    assert!(!told.contains('\n'), "{told}");

    let mut etcd = cluster.client(survivor, times, Some(a.breaker()));
    let began = Instant::now();
    let refused = a.claim(&mut etcd, "at once").unwrap_err();
    assert!(
        began.elapsed() < Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
    assert!(refused.to_string().contains("asks it again"), "{refused}");

    (1..3).for_each(|node| cluster.revive(node));
    wait_until("a leader", PATIENCE, || cluster.leader());
    wait_until("a claim", PATIENCE, || {
        let mut etcd = cluster.client(survivor, times, Some(a.breaker()));
        a.claim(&mut etcd, "again").ok()
    });
    // The next collection removes what may have been claimed without an answer.
    let mut etcd = cluster.client(survivor, times, None);
    a.with(&mut etcd, |member| member.reconcile(&[], true))
        .unwrap();
    let left = a.with(&mut etcd, |member| member.addresses()).unwrap();
    assert_eq!(left.len(), 0);
}

#[test]
fn a_stranger_is_refused() {
    let cluster = Cluster::start(1);
    let (a, _) = hosts(&cluster);
    let mut times = times();
    times.total = Duration::from_secs(1);
    let stranger = cluster.certificates("stranger");
    let mut etcd = Etcd::new(vec![endpoint(0)], Some(&stranger), times, None, 0).unwrap();
    let refused = a.claim(&mut etcd, "web").unwrap_err();
    let ShareError::Registry(RegistryError::Unreachable(told)) = &refused else {
        panic!("{refused}");
    };
    assert!(told.contains("127.0.0.1:2370: "), "{told}");
    // A server with a certificate of another authority is not accepted as our etcd, either.
    let mut wrong = cluster.certificates("client");
    wrong.ca.clone_from(&stranger.certificate);
    let mut etcd = Etcd::new(vec![endpoint(0)], Some(&wrong), times, None, 0).unwrap();
    let told = a.claim(&mut etcd, "web").unwrap_err().to_string();
    assert!(told.contains("certificate"), "{told}");
}

/// Eight hosts share 14 addresses while one node after the other is killed: no address is
/// claimed twice, and at the end none is left claimed.
#[test]
fn hosts_storm_a_small_range_while_nodes_die() {
    let mut cluster = Cluster::start(3);
    let ends = Instant::now() + Duration::from_secs(8);
    let directory = cluster.directory().to_owned();
    let held = std::sync::Mutex::new(BTreeSet::new());
    let claimed = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..8 {
            let mut etcd = cluster.client(number, times(), None);
            let (held, claimed, directory) = (&held, &claimed, &directory);
            scope.spawn(move || {
                let host = SharedHost::new(directory, &format!("host{number}"), 28);
                while Instant::now() < ends {
                    etcd.begin(times().total);
                    let Ok(claim) = host.claim(&mut etcd, "web") else {
                        continue;
                    };
                    claimed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let is_new = held.lock().unwrap().insert(claim.address);
                    assert!(is_new, "{} is claimed twice", claim.address);
                    thread::sleep(Duration::from_millis(fastrand::u64(0..20)));
                    held.lock().unwrap().remove(&claim.address);
                    let _ = host.with(&mut etcd, |member| member.give_back(&claim));
                }
            });
        }
        for node in [0, 1, 2] {
            thread::sleep(Duration::from_secs(1));
            cluster.kill(node);
            thread::sleep(Duration::from_secs(1));
            cluster.revive(node);
        }
    });
    wait_until("a leader", PATIENCE, || cluster.leader());
    let mut etcd = cluster.client(0, times(), None);
    let mut left = 1;
    for number in 0..8 {
        let host = SharedHost::new(&directory, &format!("host{number}"), 28);
        etcd.begin(times().total);
        host.with(&mut etcd, |member| member.reconcile(&[], true))
            .unwrap();
        left = host
            .with(&mut etcd, |member| member.addresses())
            .unwrap()
            .len();
    }
    assert_eq!(left, 0, "addresses have leaked");
    let claimed = claimed.into_inner();
    assert!(claimed > 100, "only {claimed} claims");
}

#[test]
fn after_a_restore_nothing_is_claimed_until_it_is_accepted() {
    let mut cluster = Cluster::start(1);
    let (a, b) = hosts(&cluster);
    let mut etcd = cluster.client(0, times(), None);
    b.claim(&mut etcd, "early").unwrap();
    let backup = cluster.back_up(0);
    let web = a.claim(&mut etcd, "web").unwrap();
    cluster.restore(&backup);
    let mut etcd = cluster.client(0, times(), None);
    // Host a is not in the backup. a finds that out, and then no host can claim.
    for host in [&a, &b] {
        etcd.begin(times().total);
        let refused = host.claim(&mut etcd, "late").unwrap_err();
        assert!(matches!(refused, ShareError::Suspended), "{refused}");
    }
    let accept = |etcd: &mut Etcd| a.with(etcd, |member| operator::accept(member, &[]));
    let told = accept(&mut etcd).unwrap_err().to_string();
    assert!(
        told.starts_with("these hosts have not put their leases back: "),
        "{told}"
    );
    let early = b
        .with(&mut etcd, |member| member.reconcile(&[], true))
        .unwrap();
    assert_eq!(early.deleted.len(), 1, "b's container has ended");
    let back = a
        .with(&mut etcd, |member| member.reconcile(&[lease(&web)], true))
        .unwrap();
    assert_eq!(back.claimed[0].address, web.address);
    assert!(accept(&mut etcd).unwrap());
    let refused = b.claim_static(&mut etcd, "late", web.address).unwrap_err();
    assert!(matches!(refused, ShareError::Taken { .. }), "{refused}");
    b.claim(&mut etcd, "late").unwrap();
}

/// Nothing runs beside the calling thread.
#[test]
fn a_client_has_no_threads() {
    let cluster = Cluster::start(1);
    let (a, _) = hosts(&cluster);
    let mut etcd = cluster.client(0, times(), None);
    a.claim(&mut etcd, "web").unwrap();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let names: Vec<_> = names.collect();
    assert!(
        names.iter().all(|name| !name.starts_with("tokio")),
        "{names:?}"
    );
}

#[test]
fn a_host_is_evicted_only_when_nothing_speaks_for_it() {
    let cluster = Cluster::start(1);
    let (a, b) = hosts(&cluster);
    let mut etcd = cluster.client(0, times(), None);
    let web = a.claim(&mut etcd, "web").unwrap();
    b.claim(&mut etcd, "db").unwrap();
    let evict = |etcd: &mut Etcd, answers: bool| {
        etcd.begin(times().total);
        b.with(etcd, |member| {
            operator::evict(member, "a", &mut |asked| {
                let probed = asked.iter().map(|address| Probed {
                    address: *address,
                    probes: PROBES,
                    answered: answers,
                });
                Ok(Evidence {
                    link_answers: true,
                    from_parent: true,
                    from_sibling: true,
                    addresses: probed.collect(),
                })
            })
        })
    };
    let told = evict(&mut etcd, false).unwrap_err().to_string();
    assert!(
        told.starts_with("host a is not evicted: it reported in lately"),
        "{told}"
    );
    // Its lease in etcd expires.
    let id = a
        .with(&mut etcd, |member| Ok(member.host().clone()))
        .unwrap();
    let live = String::from_utf8(a.keys.live(&id)).unwrap();
    assert_eq!(cluster.etcdctl(0, &["del", &live]).unwrap().trim(), "1");
    let told = evict(&mut etcd, true).unwrap_err().to_string();
    assert!(
        told.contains(&format!("{} answers on the link", web.address)),
        "{told}"
    );
    let freed = evict(&mut etcd, false).unwrap();
    assert_eq!(freed.first(), Some(&web));
    b.claim_static(&mut etcd, "db", web.address).unwrap();

    let refused = a.claim(&mut etcd, "again").unwrap_err();
    assert!(matches!(refused, ShareError::Evicted), "{refused}");
    let told = rejoin(&a, &mut etcd, Rejoin::Anew);
    assert_ne!(told, id);
    a.claim(&mut etcd, "again").unwrap();
    // A container that it still runs at the evicted address is a conflict, and stays.
    let back = a
        .with(&mut etcd, |member| member.reconcile(&[lease(&web)], true))
        .unwrap();
    assert_eq!(back.conflicts.len(), 1);
}

#[test]
fn of_two_copies_the_second_is_refused_and_the_original_can_take_over() {
    let cluster = Cluster::start(1);
    let (a, _) = hosts(&cluster);
    let mut etcd = cluster.client(0, times(), None);
    // A free address at random might be another container's: these hosts keep no leases.
    let claim = |etcd: &mut Etcd, host: &SharedHost, name: &str, last: u8| {
        host.claim_static(etcd, name, IpAddr::from([10, 0, 0, last]))
    };
    claim(&mut etcd, &a, "web", 11).unwrap();
    let copies = cluster.directory().join("copies");
    std::fs::create_dir_all(copies.join("a")).unwrap();
    for file in std::fs::read_dir(cluster.directory().join("a")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copies.join("a").join(file.file_name())).unwrap();
    }
    let copy = SharedHost::new(&copies, "a", 24);
    claim(&mut etcd, &copy, "copied", 12).unwrap();
    let refused = claim(&mut etcd, &a, "web2", 13).unwrap_err();
    assert!(matches!(refused, ShareError::Copied(_)), "{refused}");
    rejoin(&a, &mut etcd, Rejoin::Original);
    claim(&mut etcd, &a, "web2", 13).unwrap();
    let refused = claim(&mut etcd, &copy, "copied", 12).unwrap_err();
    assert!(matches!(refused, ShareError::Copied(_)), "{refused}");
    rejoin(&copy, &mut etcd, Rejoin::Anew);
    claim(&mut etcd, &copy, "copied", 14).unwrap();
    let picture = operator::picture(&mut etcd, &a.keys).unwrap().unwrap();
    let counts: BTreeSet<_> = picture
        .hosts
        .iter()
        .map(|host| host.addresses.len())
        .collect();
    assert_eq!((picture.hosts.len(), counts), (2, BTreeSet::from([1, 3])));
    // Both are called a, so a person must say which one.
    let told = operator::find(&picture, "a").unwrap_err().to_string();
    assert!(
        told.starts_with("several hosts of the share are called a"),
        "{told}"
    );
}

/// Returns the lease for which an address was claimed.
fn lease(claim: &Claim) -> Lease {
    Lease {
        address: claim.address,
        container: "web".to_owned(),
        name: "web".to_owned(),
    }
}

fn rejoin(host: &SharedHost, etcd: &mut Etcd, how: Rejoin) -> HostId {
    etcd.begin(times().total);
    let mut folder = host.folder();
    let mut random = || fastrand::u128(..);
    let own = (&host.keys, &host.facts);
    operator::rejoin(own, etcd, &mut folder, &mut random, how).unwrap()
}

fn hosts(cluster: &Cluster) -> (SharedHost, SharedHost) {
    let host = |name| SharedHost::new(cluster.directory(), name, 24);
    (host("a"), host("b"))
}
