//! What other hosts have on networks that are in a share, according to etcd now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use berth_share::operator::Picture;
use berth_share::{Holder, HostId, ShareName};

use super::Overview;
use crate::podman::Podman;
use crate::protocol::Network;
use crate::rules::share::{self, Configuration};
use crate::sharing;
use crate::text::foreign;

/// How long etcd may take: meanwhile a person waits for what this host knows anyway.
const TOTAL: Duration = Duration::from_secs(1);

/// What etcd says about the shares that networks are in; empty if it was not asked.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    pub asked: Vec<Asked>,
    /// This host's name in the share of each network, by the network's id.
    pub(super) own: BTreeMap<String, String>,
    pub(super) claims: Vec<Elsewhere>,
}

/// One share, and whether etcd has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub name: String,
    /// How many hosts take part and how many addresses they have; `None` if etcd did not
    /// answer.
    pub size: Option<(usize, usize)>,
}

/// An address that another host, or another user's Podman here, has on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elsewhere {
    pub(super) network_id: String,
    pub(super) address: IpAddr,
    pub(super) container_id: String,
    pub(super) container_name: String,
    pub(super) host: String,
}

impl Overview {
    /// Asks etcd about each share that a network is in. If it does not answer, berth warns,
    /// and shows only what this host knows.
    pub fn ask_shares(&mut self, podman: &Podman) {
        let mut shared: BTreeMap<ShareName, Vec<&Network>> = BTreeMap::new();
        for network in &self.networks {
            if let Some(name) = share::of_network(network) {
                shared.entry(name).or_default().push(network);
            }
        }
        let mut shares = Shares::default();
        for (name, networks) in shared {
            if let Ok(configuration) = Configuration::of(&podman.settings, &name) {
                let own = sharing::host_name(&configuration);
                let named = networks.iter().map(|one| (one.id.clone(), own.clone()));
                shares.own.extend(named);
            }
            let size = match sharing::look(podman, &name, TOTAL) {
                Ok(Some(picture)) => {
                    let host = sharing::host(podman, &name).ok().flatten();
                    let own = (host.as_ref(), sharing::store(podman));
                    for network in networks {
                        shares.claims.extend(elsewhere(&picture, &own, network));
                    }
                    let addresses = picture.hosts.iter().map(|host| host.addresses.len());
                    Some((picture.hosts.len(), addresses.sum()))
                }
                Ok(None) => Some((0, 0)),
                Err(error) => {
                    log::warn!(
                        "what other hosts have is not shown: {}",
                        crate::chain(&error)
                    );
                    None
                }
            };
            let name = name.to_string();
            shares.asked.push(Asked { name, size });
        }
        self.shares = shares;
    }
}

/// Returns what others have on a network: other hosts, and other stores of this host.
fn elsewhere(
    picture: &Picture,
    (own, store): &(Option<&HostId>, String),
    network: &Network,
) -> Vec<Elsewhere> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (host, claim) in picture.claims() {
        let Ok(holder) = Holder::decode(claim.value.as_bytes()) else {
            continue;
        };
        let is_own = Some(&holder.host) == *own && holder.store == *store;
        if !is_own && network.covers(claim.address) && seen.insert(claim.address) {
            found.push(Elsewhere {
                network_id: network.id.clone(),
                address: claim.address,
                // These were written by another host.
                container_id: foreign(&holder.container),
                container_name: foreign(&holder.name),
                host: foreign(host.unwrap_or_else(|| holder.host.short())),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use berth_share::{Claim, Meta, Terms};

    use super::super::{Dossier, State};
    use super::*;
    use crate::rules::lease::{Kind, Reservation, Tenant, fixture_of};
    use crate::rules::verdict::{Sign, Verdict};
    use crate::sight::Evidence;

    const STORE: &str = "/here";

    fn network() -> Network {
        let network = serde_json::json!({"name": "net", "id": "net", "driver": "berth",
            "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}]});
        serde_json::from_value(network).expect("a network")
    }

    fn claim(address: &str, host: u128, store: &str, name: &str) -> Claim {
        let holder = Holder {
            host: HostId::new(host),
            store: store.to_owned(),
            container: format!("id-{name}"),
            name: name.to_owned(),
            nonce: String::new(),
        };
        holder.claim(address.parse().expect("an address"))
    }

    /// Returns what this host, 1, finds on its network that belongs to others.
    fn found(unrecorded: Vec<Claim>) -> Vec<Elsewhere> {
        let picture = Picture {
            meta: Meta::first(Terms { subnets: vec![] }, 1),
            hosts: Vec::new(),
            unrecorded,
        };
        let own = HostId::new(1);
        elsewhere(&picture, &(Some(&own), STORE.to_owned()), &network())
    }

    /// Returns an overview with these leases and reservations of this host.
    fn overview(leased: &[&str], reserved: &[&str], claims: Vec<Claim>) -> Overview {
        let tenants = leased
            .iter()
            .map(|address| fixture_of("1f2e3d4c5b6a", address));
        let judged = |mut tenant: Tenant| {
            tenant.tenancy.network_id = "net".into();
            (tenant, Verdict::Live(Sign::Starting { pid: 1 }))
        };
        let evidence = Evidence {
            boot_id: "boot".to_owned(),
            ..Evidence::default()
        };
        let left = |address: &&str| {
            let left = Reservation {
                container_id: "abcd".into(),
                container_name: "old".into(),
                kind: Kind::Dynamic,
                released: evidence.at,
                until: evidence.at.after(Duration::from_secs(9)),
            };
            ("net".into(), address.parse().expect("an address"), left)
        };
        Overview {
            networks: vec![network()],
            holders: tenants.map(judged).collect(),
            reservations: reserved.iter().map(left).collect(),
            collection: None,
            shares: Shares {
                asked: Vec::new(),
                own: BTreeMap::from([("net".to_owned(), "alpha".to_owned())]),
                claims: found(claims),
            },
            evidence: evidence.clone(),
        }
    }

    #[test]
    fn only_what_this_store_has_is_not_elsewhere() {
        let garbage = Claim {
            address: "10.0.0.6".parse().expect("an address"),
            value: "{".to_owned(),
        };
        let found = found(vec![
            claim("10.0.0.2", 1, STORE, "own"),
            claim("10.0.0.3", 1, "/another", "user"),
            claim("10.0.0.4", 2, STORE, "other"),
            claim("10.0.1.5", 2, STORE, "of another network"),
            garbage,
        ]);
        let names: Vec<_> = found
            .iter()
            .map(|one| one.container_name.as_str())
            .collect();
        assert_eq!(names, ["user", "other"]);
        assert_eq!(found[1].host, HostId::new(2).short());
    }

    #[test]
    fn what_others_have_is_leased_and_not_free_here() {
        let claims = ["10.0.0.2", "10.0.0.3", "10.0.0.4"].map(|at| claim(at, 2, STORE, "far"));
        let overview = overview(&["10.0.0.2"], &["10.0.0.3", "10.0.0.9"], claims.into());
        let shown = |all| {
            let entries = overview.entries(all).into_iter();
            let told = entries.map(|one| format!("{} {}", one.address, one.state));
            told.collect::<Vec<_>>()
        };
        let leased = ["10.0.0.2 live", "10.0.0.3 elsewhere", "10.0.0.4 elsewhere"];
        assert_eq!(shown(false), leased, "this host's lease hides the claim");
        assert_eq!(shown(true)[..3], leased, "a claim hides a reservation");
        assert_eq!(shown(true)[3..], ["10.0.0.9 cooldown"]);
        assert_eq!(overview.entries(false)[0].host, "alpha");
        let totals = &Overview::totals(&overview.networks[0], &overview.entries(true))[0];
        assert_eq!((totals.leased(), totals.count(State::Elsewhere)), (3, 2));
        assert_eq!(totals.free, 253 - 4);
    }

    #[test]
    fn a_container_is_this_hosts_if_another_has_its_name() {
        let claims = vec![
            claim("10.0.0.2", 2, STORE, "web"),
            claim("10.0.0.3", 2, STORE, "far"),
        ];
        let overview = overview(&["10.0.0.4"], &[], claims);
        let container = |word| match overview.inspect(word, None).expect("it is known").remove(0) {
            Dossier::Container(container) => container,
            other => panic!("{other:?}"),
        };
        let web = container("web");
        assert_eq!(web.container_id, "1f2e3d4c5b6a");
        assert_eq!((web.leases.len(), web.elsewhere.len()), (1, 1));
        let far = container("far");
        assert_eq!((far.leases.len(), far.elsewhere.len()), (0, 1));
        assert_eq!(far.container_id, "id-far");
    }
}
