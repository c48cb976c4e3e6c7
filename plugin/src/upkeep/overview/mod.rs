//! Who has which address now: what the store says, judged by evidence taken now.
//!
//! The store is read under its lock, which is released before berth looks at the host, so no
//! command waits for that. The verdicts are the collection's own ([`sight::judge_all`]).
//!
//! Never: make a store, change a lease, or look at the host while holding a lock.

mod chart;
mod dossier;
mod elsewhere;
mod entry;
mod filter;
mod names;
mod order;
mod state;
mod totals;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use thiserror::Error;

pub use chart::{Cell, Chart, Frame, Row, Sheet};
pub use dossier::{Dossier, UnknownError};
pub use elsewhere::{Asked, Shares};
pub use entry::{Entry, Place};
pub use filter::{Filter, FilterError};
pub use names::Names;
pub use order::Order;
pub use state::State;
pub use totals::Totals;

use super::NoNetwork;
use crate::lifecycle::session::{SessionError, read_store};
use crate::podman::{Fault, Podman, PodmanError, read_networks, warn_of_ignored};
use crate::protocol::Network;
use crate::rules::lease::{Moment, NetworkId, Reservation, Tenant};
use crate::rules::options::Options;
use crate::rules::verdict::Verdict;
use crate::sight::{self, ClockError, Evidence};
use crate::store::{Collection, StoreError, Transaction};

/// How this command introduces itself to others that wait for the store.
const WHO: &str = "reading who has which address";

/// Failure to read who has which address.
#[derive(Debug, Error)]
pub enum OverviewError {
    #[error(transparent)]
    Podman(#[from] PodmanError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error(transparent)]
    NoNetwork(#[from] NoNetwork),
}

/// Who has which address, on all networks of one Podman, at one moment.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The networks whose addresses berth leases, sorted by name; also those that are gone and
    /// still have leases.
    pub networks: Vec<Network>,
    /// The holders of leases, each with the verdict.
    pub holders: Vec<(Tenant, Verdict)>,
    /// What released addresses have left behind, if it has not run out.
    pub reservations: Vec<(NetworkId, IpAddr, Reservation)>,
    /// What the verdicts rest on.
    pub evidence: Evidence,
    /// The last collection of this boot, if there was one.
    pub collection: Option<Collection>,
    /// What other hosts have; see [`Overview::ask_shares`].
    pub shares: Shares,
}

/// What the store says.
#[derive(Default)]
struct Records {
    tenants: Vec<Tenant>,
    reservations: Vec<(NetworkId, IpAddr, Reservation)>,
    collection: Option<Collection>,
    /// See [`Transaction::version`](crate::store::Transaction::version).
    version: Option<(Moment, u64)>,
}

impl Overview {
    /// Reads the store, if there is one, then looks at the host. If a network file cannot be
    /// read, berth warns; the network's leases are shown all the same.
    ///
    /// # Errors
    /// If the store is locked for too long or cannot be read.
    pub fn take(podman: &Podman) -> Result<Self, OverviewError> {
        let mut networks = networks(podman)?;
        let records = read(podman)?;
        let (boot_id, at) = (sight::boot_id()?, sight::now()?);
        let evidence = Evidence::gather(&records.tenants, &boot_id, at);
        let verdicts = sight::judge_all(&records.tenants, &evidence);
        let mut holders: Vec<_> = records.tenants.into_iter().zip(verdicts).collect();
        forget_released(podman, records.version, &mut holders)?;
        let mut known: HashSet<_> = networks.iter().map(|known| known.id.clone()).collect();
        for (tenant, _) in &holders {
            let network = &tenant.request.network;
            if known.insert(network.id.clone()) {
                networks.push(Network::clone(network));
            }
        }
        networks.sort_by(|one, other| one.name.cmp(&other.name));
        let lasts = |(_, _, left): &(_, _, Reservation)| left.until.boot_ms > at.boot_ms;
        let mut reservations = records.reservations;
        reservations.retain(lasts);
        Ok(Self {
            networks,
            holders,
            reservations,
            evidence,
            collection: records.collection,
            shares: Shares::default(),
        })
    }

    /// Returns the network that a person means by a name or id.
    ///
    /// # Errors
    /// [`NoNetwork`] if berth leases no addresses for it.
    pub fn network(&self, wanted: &str) -> Result<&Network, OverviewError> {
        let mut networks = self.networks.iter();
        let found = networks.find(|network| network.answers_to(wanted));
        found.ok_or_else(|| NoNetwork(wanted.to_owned()).into())
    }

    /// Returns one entry for each leased address; with `all`, also for what released addresses
    /// have left behind and for what is reserved or excluded. They are sorted by network and
    /// address.
    pub fn entries(&self, all: bool) -> Vec<Entry> {
        let leases = self.holders.iter().flat_map(|(tenant, verdict)| {
            let of = |leased| Entry::of_lease(tenant, leased, verdict, &self.evidence);
            tenant.leased.iter().map(of)
        });
        let mut entries: Vec<_> = leases.collect();
        for entry in &mut entries {
            let own = self.shares.own.get(&entry.network_id);
            entry.host = own.cloned().unwrap_or_default();
        }
        entries.extend(self.elsewhere(&entries));
        let pledged = self.networks.iter().flat_map(|network| {
            let options = Options::parse(network).unwrap_or_default();
            let pledges = options.pledges.into_iter();
            pledges.map(move |pledge| Entry::of_pledge(network, &pledge))
        });
        let pledged: HashMap<_, _> = pledged.map(|entry| (entry.key(), entry)).collect();
        for entry in &mut entries {
            if let Some(pledged) = pledged.get(&entry.key()) {
                entry.comment.clone_from(&pledged.comment);
            }
        }
        if all {
            let leased: HashSet<_> = entries.iter().map(Entry::key).collect();
            let free = pledged.values().filter(|own| !leased.contains(&own.key()));
            entries.extend(free.cloned());
            let reservations = self.reservations.iter();
            entries.extend(reservations.filter_map(|(id, address, left)| {
                let mut networks = self.networks.iter();
                let network = networks.find(|network| network.id == id.as_str())?;
                let entry = Entry::of_reservation(network, *address, left, self.now());
                let key = entry.key();
                (!pledged.contains_key(&key) && !leased.contains(&key)).then_some(entry)
            }));
            entries.extend(self.networks.iter().flat_map(Entry::exclusions));
        }
        Order::Network.sort(&mut entries);
        entries
    }

    /// Returns what other hosts have and this one has not leased.
    fn elsewhere(&self, leased: &[Entry]) -> Vec<Entry> {
        let leased: HashSet<_> = leased.iter().map(Entry::key).collect();
        let claims = self.shares.claims.iter().filter_map(|claim| {
            let mut networks = self.networks.iter();
            let network = networks.find(|network| network.id == claim.network_id)?;
            let entry = Entry::of_elsewhere(network, claim);
            (!leased.contains(&entry.key())).then_some(entry)
        });
        claims.collect()
    }

    /// Returns the totals of each of a network's subnets; none for a network that cannot work.
    /// `entries` must be what [`entries`](Self::entries) returns with `all`.
    pub fn totals(network: &Network, entries: &[Entry]) -> Vec<Totals> {
        let own = entries
            .iter()
            .filter(|entry| entry.network_id == network.id);
        let own: Vec<_> = own.cloned().collect();
        let pools = totals::pools(network);
        pools.iter().map(|pool| Totals::of(pool, &own)).collect()
    }

    /// Returns when the host was looked at, by the wall clock.
    pub fn time(&self) -> String {
        super::wall_time(self.now())
    }

    /// Returns when the host was looked at.
    pub fn now(&self) -> Moment {
        self.evidence.at
    }
}

/// Returns our networks that have a file.
fn networks(podman: &Podman) -> Result<Vec<Network>, OverviewError> {
    let files = read_networks(podman.network_config_dir()?).map_err(PodmanError::from)?;
    let mut networks = Vec::new();
    for file in files {
        match file.network {
            Ok(mut network) if network.is_ours() => {
                podman.fill_in(&mut network);
                networks.push(network);
            }
            Ok(_) => {}
            Err(Fault::Unreadable(error)) => {
                log::warn!("failed to read {}: {error}", file.path.display());
            }
            Err(Fault::Malformed(why)) => warn_of_ignored(&file.path, &why),
        }
    }
    Ok(networks)
}

/// Reads the store; nothing if there is none.
fn read(podman: &Podman) -> Result<Records, SessionError> {
    Ok(read_store(podman, WHO, records)?.unwrap_or_default())
}

fn records(transaction: &Transaction<'_>) -> Result<Records, StoreError> {
    let mut records = Records {
        tenants: transaction.all_tenants()?,
        collection: transaction.last_collection().cloned(),
        version: Some(transaction.version()),
        ..Records::default()
    };
    for id in transaction.networks()? {
        let reservations = transaction.reservations(&id)?.into_iter();
        let reservations = reservations.map(|(at, left)| (id.clone(), at, left));
        records.reservations.extend(reservations);
    }
    Ok(records)
}

/// Leaves out holders that only look dead because they have given their leases back since these
/// were read, like a container that was just stopped. `version` is the store's at the time of
/// reading.
fn forget_released(
    podman: &Podman,
    version: Option<(Moment, u64)>,
    holders: &mut Vec<(Tenant, Verdict)>,
) -> Result<(), SessionError> {
    let is_dead = |verdict: &Verdict| matches!(verdict, Verdict::Dead(_));
    if !holders.iter().any(|(_, verdict)| is_dead(verdict)) {
        return Ok(());
    }
    let now = read_store(podman, WHO, |transaction| {
        if Some(transaction.version()) == version {
            return Ok(None);
        }
        transaction.all_tenants().map(Some)
    })?;
    let Some(tenants) = now.unwrap_or_else(|| Some(Vec::new())) else {
        return Ok(());
    };
    let tenants = tenants.into_iter();
    let leased: HashMap<_, _> = tenants.map(|now| (now.tenancy, now.leased)).collect();
    holders.retain(|(tenant, verdict)| {
        !is_dead(verdict) || leased.get(&tenant.tenancy) == Some(&tenant.leased)
    });
    Ok(())
}
