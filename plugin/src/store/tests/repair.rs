//! A store damaged in every way the checker knows, and repaired.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::rules::lease::{ContainerId, LeasedAddress};
use crate::store::overlay::Entry;

/// Who lives, as a test has it.
#[derive(Clone, Debug, Default)]
struct Host {
    live: BTreeSet<&'static str>,
    /// Nothing can be told.
    blind: bool,
}

impl Host {
    fn of(live: &[&'static str]) -> Self {
        Self {
            live: live.iter().copied().collect(),
            blind: false,
        }
    }
}

/// The addresses of the containers in [`crowded`].
const ADDRESSES: [(&str, &str); 4] = [
    ("a", "10.0.0.2"),
    ("a", "10.0.0.3"),
    ("b", "10.0.0.4"),
    ("e", "10.0.0.8"),
];

impl Lookout for Host {
    fn may_be_alive(&self, tenant: &Tenant) -> bool {
        self.may_be_at_work_for(&tenant.tenancy.container_id)
    }

    fn may_be_held(&self, address: IpAddr) -> bool {
        let mut holders = ADDRESSES.iter().filter(|(_, held)| ip(held) == address);
        self.blind || holders.any(|(holder, _)| self.live.contains(holder))
    }

    fn may_be_at_work_for(&self, container: &ContainerId) -> bool {
        self.blind || self.live.contains(container.as_str())
    }
}

/// As [`good`], and .8 leased to `e`, who asked for it.
fn crowded(store: &Store<'_>) {
    good(store);
    let mut transaction = store.begin();
    let wanted = [(ip("10.0.0.8"), Kind::Static)];
    transaction.lease_to(tenant("e"), &wanted).unwrap();
    transaction.commit(at(10)).unwrap();
}

/// One thing that is wrong with a store.
#[derive(Clone, Debug)]
enum Damage {
    NoTenant(&'static str),
    NoLease(&'static str),
    LeaseOf(&'static str, &'static str),
    LeaseGeneration(&'static str, u64),
    LeaseAndListGeneration(&'static str, u64),
    LeaseKind(&'static str),
    Lists(&'static str, &'static str, u64),
    ListsTwice(&'static str),
    ListsNothing(&'static str),
    FiledElsewhere(&'static str, &'static str),
    Held(&'static str),
    NoHold(&'static str),
    Free(&'static str, &'static str),
    NotFree(&'static str),
    NoPool,
    NoIndex(usize),
    StrayIndex(usize),
}

fn tenant_key(container: &str) -> Vec<u8> {
    tenancy_key(&tenancy(container)).unwrap()
}

fn edit_tenant(store: &Store<'_>, container: &str, change: impl FnOnce(&mut Tenant)) {
    let key = tenant_key(container);
    if store.engine.get(&key).unwrap().is_some() {
        edit(store, key, change);
    }
}

fn with_lease(store: &Store<'_>, address: &str, change: impl FnOnce(&mut Lease)) {
    let mut transaction = store.begin();
    if let Some(mut lease) = transaction.lease(&web(), ip(address)).unwrap() {
        change(&mut lease);
        transaction.put_lease(ip(address), &lease).unwrap();
        transaction.commit(at(10)).unwrap();
    }
}

fn index_key(released: u64, until: u64, place: usize) -> Vec<u8> {
    let pools = [super::super::pools::StoredPool {
        subnet: pool().subnet(),
        spans: pool().spans().to_vec(),
    }];
    let hold = hold("c", released, until);
    reservations::index_keys(&web(), ip("10.0.0.6"), &hold, &pools).unwrap()[place].clone()
}

impl Damage {
    fn strike(&self, store: &Store<'_>) {
        match self {
            Self::NoTenant(container) => delete(store, tenant_key(container)),
            Self::NoLease(address) => {
                let mut transaction = store.begin();
                transaction.delete_lease(&web(), ip(address)).unwrap();
                transaction.commit(at(10)).unwrap();
            }
            Self::LeaseOf(address, container) => {
                with_lease(store, address, |lease| lease.tenancy = tenancy(container));
            }
            Self::LeaseGeneration(address, generation) => {
                with_lease(store, address, |lease| lease.generation = *generation);
            }
            Self::LeaseAndListGeneration(address, generation) => {
                let mut holder = None;
                with_lease(store, address, |lease| {
                    lease.generation = *generation;
                    holder = Some(lease.tenancy.container_id.clone());
                });
                let Some(holder) = holder else { return };
                edit_tenant(store, holder.as_str(), |tenant| {
                    for holding in &mut tenant.leased {
                        if holding.address == ip(address) {
                            holding.generation = *generation;
                        }
                    }
                });
            }
            Self::LeaseKind(address) => {
                with_lease(store, address, |lease| lease.kind = Kind::Static);
            }
            Self::Lists(container, address, generation) => {
                edit_tenant(store, container, |tenant| {
                    tenant.leased.push(LeasedAddress {
                        address: ip(address),
                        generation: *generation,
                        kind: Kind::Dynamic,
                    });
                });
            }
            Self::ListsTwice(container) => edit_tenant(store, container, |tenant| {
                let mut again = tenant.leased.clone();
                again.iter_mut().for_each(|holding| holding.generation = 99);
                again.append(&mut tenant.leased);
                tenant.leased = again;
            }),
            Self::ListsNothing(container) => {
                edit_tenant(store, container, |tenant| tenant.leased.clear());
            }
            Self::FiledElsewhere(container, own) => edit_tenant(store, container, |tenant| {
                tenant.request.container_id = (*own).into();
            }),
            Self::Held(address) => {
                let mut transaction = store.begin();
                transaction
                    .put_reservation(&web(), ip(address), &hold("c", 5, 9))
                    .unwrap();
                transaction.commit(at(10)).unwrap();
            }
            Self::NoHold(address) => {
                delete(
                    store,
                    address_key(Table::Reservation, &web(), ip(address)).unwrap(),
                );
            }
            Self::Free(first, last) => {
                put(store, free_key(first), &address_payload(ip(last)));
            }
            Self::NotFree(first) => delete(store, free_key(first)),
            Self::NoPool => delete(
                store,
                subnet_key(Table::Pool, &web(), pool().subnet()).unwrap(),
            ),
            Self::NoIndex(place) => delete(store, index_key(5, 1000, *place)),
            Self::StrayIndex(place) => put(store, index_key(6, 999, *place), &[]),
        }
    }
}

/// Who is said to have each address, by leases and by lists.
fn claims(store: &Store<'_>) -> BTreeMap<IpAddr, BTreeSet<String>> {
    let transaction = store.begin();
    let mut claims: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (_, address, lease) in transaction.all_leases().unwrap() {
        let holder = lease.tenancy.container_id.to_string();
        claims.entry(address).or_default().insert(holder);
    }
    for tenant in transaction.all_tenants().unwrap() {
        for holding in &tenant.leased {
            let holder = tenant.tenancy.container_id.to_string();
            claims.entry(holding.address).or_default().insert(holder);
        }
    }
    claims
}

fn recorded(store: &Store<'_>) -> BTreeSet<String> {
    let tenants = store.begin().all_tenants().unwrap();
    let names = tenants.iter().map(|tenant| &tenant.tenancy.container_id);
    names.map(ToString::to_string).collect()
}

fn contents(store: &Store<'_>) -> Vec<Entry> {
    store.engine.scan(&[]).unwrap()
}

/// Whether a violation is one that a repair may have to leave.
fn may_stay(violation: &Violation) -> bool {
    matches!(
        violation,
        Violation::LeaseWithoutTenant { .. }
            | Violation::LeaseNotListed { .. }
            | Violation::HoldingWithoutLease { .. }
            | Violation::TenantWithoutHolding { .. }
    )
}

/// Damages a store and repairs it, and checks what is true of every repair.
/// Returns what was left.
fn repair(damages: &[Damage], host: &Host) -> Vec<Violation> {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), BOOT, 1, |store| {
        crowded(&store);
        for damage in damages {
            damage.strike(&store);
        }
        let found = store.check().unwrap();
        let claimed = claims(&store);
        let known = recorded(&store);
        let repair = store.repair(at(20), host).unwrap();

        assert_eq!(store.check().unwrap(), repair.left);
        assert!(repair.left.iter().all(may_stay), "{:?}", repair.left);
        for violation in &found {
            let [repaired, left] = [&repair.repaired, &repair.left].map(|v| v.contains(violation));
            assert!(repaired != left, "{violation}");
        }
        let transaction = store.begin();
        for (address, claimants) in &claimed {
            let lease = transaction.lease(&web(), *address).unwrap();
            assert!(lease.is_some() || !host.may_be_held(*address), "{address}");
            let alive: Vec<_> = claimants
                .iter()
                .filter(|name| host.may_be_at_work_for(&name.as_str().into()))
                .collect();
            if let [only] = alive[..]
                && known.contains(only)
            {
                let holder = lease.unwrap().tenancy.container_id;
                assert_eq!(holder.as_str(), only, "{address}");
            }
        }
        if host.live.is_empty() && !host.blind {
            assert_eq!(repair.left, []);
        }

        let once = contents(&store);
        let again = store.repair(at(30), host).unwrap();
        assert_eq!((again.repaired, again.left), (vec![], repair.left.clone()));
        assert_eq!(contents(&store), once, "the second repair changes nothing");
        repair.left
    })
}

fn damage() -> impl Strategy<Value = Damage> {
    let address = || select(vec!["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.8"]);
    let any_address = || {
        select(vec![
            "10.0.0.2",
            "10.0.0.4",
            "10.0.0.6",
            "10.0.0.9",
            "10.0.0.20",
        ])
    };
    let container = || select(vec!["a", "b", "e"]);
    let anybody = || select(vec!["a", "b", "e", "x"]);
    let generation = || select(vec![1, 2, 3, 6, 7, 900, u64::MAX]);
    prop_oneof![
        container().prop_map(Damage::NoTenant),
        address().prop_map(Damage::NoLease),
        (address(), anybody()).prop_map(|(a, c)| Damage::LeaseOf(a, c)),
        (address(), generation()).prop_map(|(a, g)| Damage::LeaseGeneration(a, g)),
        (address(), generation()).prop_map(|(a, g)| Damage::LeaseAndListGeneration(a, g)),
        address().prop_map(Damage::LeaseKind),
        (container(), any_address(), generation()).prop_map(|(c, a, g)| Damage::Lists(c, a, g)),
        container().prop_map(Damage::ListsTwice),
        container().prop_map(Damage::ListsNothing),
        (container(), anybody()).prop_map(|(c, o)| Damage::FiledElsewhere(c, o)),
        any_address().prop_map(Damage::Held),
        select(vec!["10.0.0.6", "10.0.0.7"]).prop_map(Damage::NoHold),
        (any_address(), select(vec!["10.0.0.20", "10.0.0.30"]))
            .prop_map(|(f, l)| Damage::Free(f, l)),
        select(vec!["10.0.0.5", "10.0.0.9"]).prop_map(Damage::NotFree),
        Just(Damage::NoPool),
        (0..4_usize).prop_map(Damage::NoIndex),
        (0..4_usize).prop_map(Damage::StrayIndex),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is wrong: no lease of a live holder is lost, what is left may be,
    /// and repairing twice is repairing once.
    #[test]
    fn any_damage_is_repaired_on_the_safe_side(
        damages in proptest::collection::vec(damage(), 1..5),
        live in proptest::sample::subsequence(vec!["a", "b", "e", "x"], 0..=4),
        blind in proptest::bool::weighted(0.1),
    ) {
        repair(&damages, &Host { blind, ..Host::of(&live) });
    }
}

/// Expects everything to be repaired, whoever lives.
#[track_caller]
fn repaired(damages: &[Damage]) {
    for live in [&[][..], &["a"], &["a", "b", "e"]] {
        let left = repair(damages, &Host::of(live));
        assert_eq!(left, [], "{damages:?} with {live:?}");
    }
}

#[test]
fn what_is_derived_is_made_anew() {
    for damage in [
        Damage::NotFree("10.0.0.9"),
        Damage::Free("10.0.0.9", "10.0.0.20"),
        Damage::Free("10.0.0.4", "10.0.0.4"),
        Damage::Held("10.0.0.4"),
        Damage::Held("10.0.0.9"),
        Damage::NoHold("10.0.0.6"),
        Damage::NoPool,
    ] {
        repaired(&[damage]);
    }
    for place in 0..4 {
        repaired(&[Damage::NoIndex(place)]);
        repaired(&[Damage::StrayIndex(place)]);
    }
}

#[test]
fn what_only_one_can_mean_is_made_to_agree() {
    for damage in [
        Damage::NoLease("10.0.0.4"),
        Damage::LeaseGeneration("10.0.0.4", 900),
        Damage::LeaseAndListGeneration("10.0.0.4", 900),
        Damage::LeaseAndListGeneration("10.0.0.4", 1),
        Damage::LeaseAndListGeneration("10.0.0.4", u64::MAX),
        Damage::LeaseKind("10.0.0.4"),
        Damage::ListsTwice("a"),
        Damage::ListsNothing("b"),
        Damage::Lists("b", "10.0.0.9", 7),
        Damage::Lists("b", "10.0.0.6", 7),
    ] {
        repaired(&[damage]);
    }
}

/// Two claim an address. It goes to whoever may be alive.
#[test]
fn a_contested_address_is_its_live_holders_and_stays_if_both_may_be() {
    for damage in [
        Damage::Lists("b", "10.0.0.2", 3),
        Damage::LeaseOf("10.0.0.2", "b"),
    ] {
        let damages = [damage];
        assert_eq!(repair(&damages, &Host::of(&["a"])), []);
        assert_eq!(repair(&damages, &Host::of(&["b"])), []);
        assert_eq!(repair(&damages, &Host::of(&[])), []);
        let both = Host::of(&["a", "b"]);
        let left = repair(&damages, &both);
        assert!(
            left.iter().any(
                |v| matches!(v, Violation::HoldingWithoutLease { address, .. } if *address == ip("10.0.0.2"))
            ),
            "{left:?}"
        );
    }
}

/// Left alone, the address would be free, and go to a third.
#[test]
fn a_contested_address_without_a_lease_gets_one() {
    let damages = [
        Damage::Lists("b", "10.0.0.2", 3),
        Damage::NoLease("10.0.0.2"),
    ];
    let left = repair(&damages, &Host::of(&["a", "b"]));
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].name(), "holding-without-lease");
}

#[test]
fn a_lease_without_a_record_stays_while_somebody_may_hold_it() {
    let damages = [Damage::NoTenant("b")];
    let stays = [Violation::LeaseWithoutTenant {
        network: web(),
        address: ip("10.0.0.4"),
        tenancy: tenancy("b"),
    }];
    assert_eq!(repair(&damages, &Host::of(&["b"])), stays);
    let blind = Host {
        blind: true,
        ..Host::default()
    };
    assert_eq!(repair(&damages, &blind), stays);
    assert_eq!(repair(&damages, &Host::of(&["a"])), []);
}

#[test]
fn a_record_without_an_address_stays_while_its_container_may_live() {
    let damages = [Damage::NoLease("10.0.0.4"), Damage::ListsNothing("b")];
    let stays = [Violation::TenantWithoutHolding {
        tenancy: tenancy("b"),
    }];
    assert_eq!(repair(&damages, &Host::of(&["b"])), stays);
    assert_eq!(repair(&damages, &Host::of(&[])), []);
}

#[test]
fn a_record_under_another_name_is_filed_under_its_own() {
    let damages = [Damage::FiledElsewhere("b", "z")];
    assert_eq!(repair(&damages, &Host::of(&["z"])), []);
    assert_eq!(repair(&damages, &Host::of(&[])), []);
    // A process at work for `b`: whose address it is cannot be told.
    assert_ne!(repair(&damages, &Host::of(&["b", "z"])), []);
    // What another record of that name does not list is added to it.
    let damages = [Damage::FiledElsewhere("b", "a")];
    assert_eq!(repair(&damages, &Host::of(&["a"])), []);
    // One lies where the other belongs.
    let damages = [
        Damage::FiledElsewhere("b", "e"),
        Damage::FiledElsewhere("e", "a"),
    ];
    assert_eq!(repair(&damages, &Host::of(&["e"])), []);
}

#[test]
fn a_sound_store_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), BOOT, 1, |store| {
        crowded(&store);
        let before = contents(&store);
        let repair = store.repair(at(20), &Host::default()).unwrap();
        assert_eq!(repair, Repair::default());
        assert_eq!(contents(&store), before);
    });
}
