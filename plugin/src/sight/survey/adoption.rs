//! What the store does not know of, but namespaces hold: leases made from what is
//! seen. So a lost store comes back, and a ghost without a lease gets one by which
//! it can be judged and taken down.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::json;

use super::sighting::Sighting;
use super::{Record, Survey, identity};
use crate::rules::lease::{
    Delegation, Kind, LeasedAddress, Moment, Namespace, Phase, Tenancy, Tenant,
};
use crate::rules::options::Options;

/// A tenant made from what is seen. Its `leased` are those it had before.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoption {
    /// The tenant.
    pub tenant: Tenant,
    /// All addresses it is to have.
    pub addresses: Vec<(IpAddr, Kind)>,
}

impl Adoption {
    /// Returns the tenant as it would be stored, but for its generations.
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

/// Returns the tenants to be made from what is seen, one for each tenancy.
///
/// An address that has a lease already stays with its tenant; of two namespaces
/// with one address, the first seen gets the lease. What nothing shows to be a
/// container's, such as an administrator's own namespace, is left alone.
pub fn adoptions(
    survey: &Survey,
    tenants: &[Tenant],
    delegation: &Delegation,
    now: Moment,
) -> Vec<Adoption> {
    let mut adoptions: BTreeMap<Tenancy, Adoption> = BTreeMap::new();
    for sighting in survey.sightings() {
        let network = sighting.network.id.as_str().into();
        let leased = |address: &IpAddr, adopted: &BTreeMap<Tenancy, Adoption>| {
            let of_network = |tenancy: &Tenancy| tenancy.network_id == network;
            tenants
                .iter()
                .any(|t| of_network(&t.tenancy) && t.has_leased(*address))
                || adopted.iter().any(|(tenancy, adoption)| {
                    of_network(tenancy) && adoption.addresses.iter().any(|(a, _)| a == address)
                })
        };
        let mut unknown = sighting.addresses();
        unknown.retain(|address| !leased(address, &adoptions));
        if unknown.is_empty() {
            continue;
        }
        let Some(tenant) = tenant(survey, &sighting, delegation, now) else {
            continue;
        };
        let known = tenants.iter().find(|known| known.tenancy == tenant.tenancy);
        let tenancy = tenant.tenancy.clone();
        let adoption = adoptions.entry(tenancy).or_insert_with(|| Adoption {
            addresses: known.map_or_else(Vec::new, |known| {
                let held = known.leased.iter();
                held.map(|holding| (holding.address, holding.kind))
                    .collect()
            }),
            tenant,
        });
        adoption
            .addresses
            .extend(unknown.into_iter().map(|address| (address, Kind::Dynamic)));
    }
    adoptions.into_values().collect()
}

/// Makes a tenant from what is seen of it, if it is a container: by its first
/// process, by what netavark remembers, or by Podman's name for its namespace file.
fn tenant(
    survey: &Survey,
    sighting: &Sighting<'_>,
    delegation: &Delegation,
    now: Moment,
) -> Option<Tenant> {
    let (network, namespace) = (sighting.network, sighting.namespace);
    let records = survey.records_of(network);
    let addresses = sighting.addresses();
    // The last entry is the latest: what is before it was left behind.
    let by_address = |record: &&Record| record.addresses.iter().any(|a| addresses.contains(a));
    let container_id = match survey.containers.get(&namespace.key) {
        Some(container) => container.clone(),
        None => match records.iter().rev().find(by_address) {
            Some(record) => record.container_id.clone(),
            None if !crate::sight::is_namespace_file(&namespace.path) => return None,
            None => format!("unknown-{}", namespace.key.1).as_str().into(),
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
        .or_else(|| identity::name(&survey.evidence, &container_id))
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
        delegation: delegation.clone(),
    })
}
