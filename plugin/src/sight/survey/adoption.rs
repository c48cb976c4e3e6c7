//! Makes leases, from what is seen, for what namespaces hold and the store does not know
//! of. So a lost store comes back, and a ghost without a lease gets one by which it can
//! be judged and taken down.

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use serde_json::json;

use super::sighting::Sighting;
use super::{Record, Survey, identity};
use crate::rules::lease::{
    ContainerId, Delegation, Kind, LeasedAddress, Moment, Namespace, Phase, Tenancy, Tenant,
};
use crate::rules::options::Options;
use crate::rules::roster::Roster;
use crate::sight::NamespaceKey;

/// A tenant made from what is seen. Its `leased` are the leases it had before.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoption {
    /// The tenant.
    pub tenant: Tenant,
    /// All addresses it should have.
    pub addresses: Vec<(IpAddr, Kind)>,
}

impl Adoption {
    /// Returns the tenant as it would be stored, apart from its generations.
    #[must_use]
    pub fn into_tenant(self) -> Tenant {
        let leased = self
            .addresses
            .into_iter()
            .map(|(address, kind)| LeasedAddress {
                address,
                generation: 0,
                kind,
            });
        Tenant {
            leased: leased.collect(),
            ..self.tenant
        }
    }
}

/// How many addresses of one interface are adopted. Podman gives it a few; a container
/// that may change its own interface can give it thousands.
const ADDRESSES: usize = 64;

/// Returns the tenants to make from what is seen, one for each tenancy.
///
/// An address that already has a lease stays with its tenant. If two namespaces have the
/// same address, the first one seen gets the lease. A namespace that nothing shows to be
/// a container's, such as an administrator's own, is left alone.
///
/// A container may change its own interfaces, and so look like another one. Therefore a
/// tenancy that is bound gets no more addresses than it has, and no other namespace
/// while its own is there. No interface gets more than [`ADDRESSES`], and only addresses
/// that can be leased.
pub fn adoptions(
    survey: &Survey,
    tenants: &[Tenant],
    delegation: &Delegation,
    now: Moment,
) -> Vec<Adoption> {
    let mut sightings = survey.sightings();
    // Usually, all that is seen has been leased, and few of the tenants matter.
    let seen: HashSet<IpAddr> = sightings.iter().flat_map(Sighting::addresses).collect();
    let mut taken: HashSet<(&str, IpAddr)> = tenants
        .iter()
        .flat_map(|tenant| tenant.leased.iter().map(move |held| (tenant, held.address)))
        .filter(|(_, address)| seen.contains(address))
        .map(|(tenant, address)| (tenant.tenancy.network_id.as_str(), address))
        .collect();
    let known = LazyCell::new(|| -> HashMap<&Tenancy, &Tenant> {
        tenants.iter().map(|t| (&t.tenancy, t)).collect()
    });
    let scene = Scene::of(survey);
    let mut adoptions: BTreeMap<Tenancy, Adoption> = BTreeMap::new();
    // A container that shows its own name has a better claim to that name and its
    // address than one that only has the address. A living one has a better claim than
    // what an earlier start left.
    sightings.sort_by_key(|sighting| {
        let key = sighting.namespace.key;
        let is_known = survey.containers.contains_key(&key);
        (!is_known, !scene.roster.is_inhabited(key))
    });
    for sighting in sightings {
        let network = sighting.network.id.as_str();
        let mut unknown = sighting.leasable();
        unknown.retain(|address| !taken.contains(&(network, *address)));
        if unknown.is_empty() {
            continue;
        }
        let Some(mut tenant) = scene.tenant(&sighting, delegation, now) else {
            continue;
        };
        let mut record = known.get(&tenant.tenancy).copied();
        let adopted = adoptions.get(&tenant.tenancy);
        if record.is_some_and(|record| scene.shows_another(&tenant, record))
            || adopted.is_some_and(|adopted| key(&adopted.tenant) != key(&tenant))
        {
            let key = sighting.namespace.key;
            log::warn!(
                "an interface in {} looks like container {}, which is in another namespace",
                sighting.namespace.path.display(),
                tenant.tenancy.container_id.short()
            );
            tenant.request.container_id = unknown_container(key);
            tenant.tenancy = tenant.request.tenancy();
            record = known.get(&tenant.tenancy).copied();
        }
        if record.is_some_and(|record| survey.shows_as_bound(&tenant, record)) {
            continue;
        }
        let adoption = adoptions
            .entry(tenant.tenancy.clone())
            .or_insert_with(|| Adoption {
                addresses: record.map_or_else(Vec::new, |known| {
                    let held = known.leased.iter();
                    held.map(|holding| (holding.address, holding.kind))
                        .collect()
                }),
                tenant,
            });
        for address in unknown {
            let has_room = adoption.addresses.len() < ADDRESSES;
            if has_room && taken.insert((network, address)) {
                adoption.addresses.push((address, Kind::Dynamic));
            }
        }
    }
    adoptions.retain(|_, adoption| !adoption.addresses.is_empty());
    adoptions.into_values().collect()
}

/// A survey with indexes, so that finding things does not mean going through all of it.
struct Scene<'s> {
    survey: &'s Survey,
    roster: Roster<'s>,
    namespaces: HashSet<NamespaceKey>,
    /// The containers that are seen in some namespace.
    containers: HashSet<&'s ContainerId>,
}

impl<'s> Scene<'s> {
    fn of(survey: &'s Survey) -> Self {
        Self {
            survey,
            roster: Roster::of(&survey.evidence.processes),
            namespaces: survey.namespaces.iter().map(|other| other.key).collect(),
            containers: survey.containers.values().collect(),
        }
    }

    /// Returns whether a tenant made from what is seen is in another namespace than its
    /// record says, although the recorded one is still there.
    fn shows_another(&self, seen: &Tenant, record: &Tenant) -> bool {
        let own = key(record);
        let is_there = || self.roster.is_inhabited(own) || self.namespaces.contains(&own);
        record.boot_id == self.survey.evidence.boot_id && own != key(seen) && is_there()
    }

    /// Makes a tenant from a sighting, if it is a container's. Its id comes from the
    /// namespace's first process, from what netavark remembers, or from Podman's name
    /// for its namespace file.
    fn tenant(
        &self,
        sighting: &Sighting<'_>,
        delegation: &Delegation,
        now: Moment,
    ) -> Option<Tenant> {
        let survey = self.survey;
        let (network, namespace) = (sighting.network, sighting.namespace);
        let records = survey.records_of(network);
        let addresses = sighting.addresses();
        // The last entry is the latest: earlier ones were left behind. A container that
        // is seen elsewhere is not identified by an address.
        let is_elsewhere = |id: &ContainerId| self.containers.contains(id);
        let by_address = |record: &&Record| {
            let has_its = record.addresses.iter().any(|a| addresses.contains(a));
            has_its && !is_elsewhere(&record.container_id)
        };
        let container_id = match survey.containers.get(&namespace.key) {
            Some(container) => container.clone(),
            None => match records.iter().rev().find(by_address) {
                Some(record) => record.container_id.clone(),
                None if !crate::sight::is_namespace_file(&namespace.path) => return None,
                None => unknown_container(namespace.key),
            },
        };
        let record = records
            .iter()
            .rev()
            .find(|record| record.container_id == container_id);
        let names = record.map_or(&[][..], |record| record.names.as_slice());
        let container_name = names
            .first()
            .cloned()
            .or_else(|| identity::name(&self.roster, &container_id))
            .unwrap_or_default();
        let nothing = Record::nothing(container_id);
        let interface = sighting.link.name.as_str().into();
        let mut request = record.unwrap_or(&nothing).attachment(network, interface);
        request.container_name = container_name.as_str().into();
        let aliases = ("aliases".to_owned(), json!(names));
        request.options.rest.extend([aliases]);
        let options = Options::parse(network).unwrap_or_default();
        Some(Tenant {
            tenancy: request.tenancy(),
            network_name: network.name.as_str().into(),
            container_name: request.container_name.clone(),
            phase: Phase::Bound,
            leased: Vec::new(),
            namespace: Namespace {
                path: namespace.path.clone(),
                device: namespace.key.0,
                inode: namespace.key.1,
            },
            pid_namespace: survey.evidence.pid_namespace,
            starter: None,
            boot_id: survey.evidence.boot_id.clone(),
            created: now,
            renewed: now,
            expires: now.after(options.ttl),
            mac_address: None,
            request,
            delegation: delegation.clone().into(),
        })
    }
}

impl Survey {
    /// Returns whether a tenant made from what is seen is already bound, in that same
    /// namespace.
    fn shows_as_bound(&self, seen: &Tenant, record: &Tenant) -> bool {
        let is_bound = record.phase == Phase::Bound && record.boot_id == self.evidence.boot_id;
        is_bound && key(record) == key(seen)
    }
}

fn key(tenant: &Tenant) -> NamespaceKey {
    (tenant.namespace.device, tenant.namespace.inode)
}

/// Returns the name for a container whose id is not known from anything.
fn unknown_container(namespace: NamespaceKey) -> ContainerId {
    format!("unknown-{}", namespace.1).into()
}
