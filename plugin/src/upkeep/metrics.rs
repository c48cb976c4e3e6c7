//! The numbers for a monitoring system.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnetwork::IpNetwork;

use super::history;
use super::overview::{Asked, Overview, OverviewError, State};
use crate::podman::Podman;
use crate::rules::history::Tally;
use crate::rules::lease::Tenant;
use crate::rules::verdict::Verdict;
use crate::store::Collection;

/// The states of leases. Each of them is counted, even if no lease is in it.
const STATES: [State; 4] = [State::Live, State::Offered, State::Unknown, State::Dead];

/// The numbers of one Podman's networks, at one moment.
#[derive(Debug)]
pub struct Metrics {
    /// The present, or why it cannot be read.
    pub present: Result<Present, OverviewError>,
    /// What has happened since the history began.
    pub tally: Tally,
}

/// The present state.
#[derive(Debug)]
pub struct Present {
    /// How many addresses of each network are leased, by the network's name and the state.
    pub leases: BTreeMap<(String, State), u64>,
    pub pools: Vec<Pool>,
    /// Of all dead holders, the longest time for which one has not been seen alive. A holder
    /// is noted as alive every quarter of the TTL.
    pub oldest_dead: Option<Duration>,
    /// The last collection of this boot, if there was one.
    pub collection: Option<Collection>,
    /// The shares that networks are in.
    pub shares: Vec<Asked>,
}

/// The room in one subnet.
#[derive(Debug)]
pub struct Pool {
    pub network: String,
    pub subnet: IpNetwork,
    /// How many addresses a container may get without asking for one.
    pub leasable: u64,
    /// How many of them are free for the next container.
    pub free: u64,
}

impl Metrics {
    /// Gathers the numbers. If the store cannot be read, there are still those of the
    /// history; if that cannot be read, berth warns.
    pub fn take(podman: &Podman) -> Self {
        Self {
            present: Overview::take(podman).map(|mut overview| {
                overview.ask_shares(podman);
                Present::of(&overview)
            }),
            tally: history::tally(podman),
        }
    }
}

impl Present {
    fn of(overview: &Overview) -> Self {
        let entries = overview.entries(true);
        let mut leases = BTreeMap::new();
        for network in &overview.networks {
            for state in STATES {
                leases.insert((network.name.clone(), state), 0);
            }
        }
        for entry in entries.iter().filter(|entry| STATES.contains(&entry.state)) {
            let key = (entry.network.clone(), entry.state);
            *leases.entry(key).or_default() += 1;
        }
        let pools = overview.networks.iter().flat_map(|network| {
            let totals = Overview::totals(network, &entries).into_iter();
            totals.map(|totals| Pool {
                network: network.name.clone(),
                subnet: totals.subnet,
                leasable: totals.leasable,
                free: totals.free,
            })
        });
        let dead = overview.holders.iter();
        let dead = dead.filter(|(_, verdict)| matches!(verdict, Verdict::Dead(_)));
        let unseen = |tenant: &Tenant| overview.now().since(&tenant.renewed);
        Self {
            pools: pools.collect(),
            oldest_dead: dead.map(|(tenant, _)| unseen(tenant)).max(),
            collection: overview.collection.clone(),
            shares: overview.shares.asked.clone(),
            leases,
        }
    }
}
