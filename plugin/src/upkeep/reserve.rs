//! Reserves addresses by hand, for good: in the network's own file, so that every setup
//! finds them, also after a reboot or the loss of the lease store.

use std::fmt;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;

use serde::Serialize;
use thiserror::Error;

use super::NoNetwork;
use crate::lifecycle::session::{Session, SessionError, with_session};
use crate::podman::{
    Fault, HostError, NetworkFile, NetworkLockError, Podman, PodmanError, StageError, Staged,
    read_networks, sweep,
};
use crate::protocol::{Network, rewritten};
use crate::rules::lease::Tenant;
use crate::rules::options::{self, Options, OptionsError};
use crate::rules::pledge::{Pledge, PledgeError};
use crate::rules::pool::PoolError;
use crate::rules::settings::Origin;
use crate::rules::verdict::Verdict;
use crate::store::{Store, StoreError};

/// Why an address was not reserved, or a reservation not ended. The network is unchanged.
#[derive(Debug, Error)]
pub enum ReserveError {
    #[error(transparent)]
    NetworkLock(#[from] NetworkLockError),
    #[error(transparent)]
    Podman(#[from] PodmanError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Pledge(#[from] PledgeError),
    #[error(transparent)]
    NoNetwork(#[from] NoNetwork),
    #[error(
        "Podman itself leases the addresses of network {0}; `berth-migrate adopt {0}` moves it to berth"
    )]
    NotOurs(String),
    #[error("the file of network {network} cannot be changed: {fault}")]
    File { network: String, fault: String },
    #[error("network {network}")]
    Options {
        network: String,
        #[source]
        source: OptionsError,
    },
    #[error("network {network}")]
    Pool {
        network: String,
        #[source]
        source: PoolError,
    },
    /// Another container has it.
    #[error(
        "{address} on network {network} is leased to container {container} ({name}), and {}; \
         reserve it for that container, or stop it first",
        match verdict {
            Verdict::Unknown(doubt) => format!("berth cannot tell whether it is alive ({doubt})"),
            Verdict::Live(_) | Verdict::Dead(_) => verdict.reason(),
        }
    )]
    Leased {
        address: IpAddr,
        network: String,
        container: String,
        name: String,
        verdict: Verdict,
    },
    #[error("{address} on network {network} is reserved in {origin}; change it there")]
    Configured {
        address: IpAddr,
        network: String,
        origin: Origin,
    },
    #[error(
        "{address} on network {network} is not reserved; `berth list --filter state=reserved` \
         lists what is"
    )]
    NotReserved { address: IpAddr, network: String },
    #[error(transparent)]
    Write(#[from] StageError),
}

impl From<StoreError> for ReserveError {
    fn from(error: StoreError) -> Self {
        SessionError::from(error).into()
    }
}

/// A reservation that was made or ended.
#[derive(Clone, Debug, Serialize)]
pub struct Reserved {
    pub address: IpAddr,
    pub network: String,
    /// The only container that gets the address.
    pub container_name: Option<String>,
    pub comment: String,
    /// Whether the address is reserved now.
    pub reserved: bool,
    /// For which container it was reserved before, in words; empty if it was not.
    pub before: String,
}

impl Reserved {
    fn new(network: &Network, pledge: &Pledge, before: Option<&Pledge>) -> Self {
        Self {
            address: pledge.address,
            network: network.name.clone(),
            container_name: pledge.container.as_ref().map(ToString::to_string),
            comment: pledge.comment.clone(),
            reserved: true,
            before: before.map(Pledge::whom).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            network,
            comment,
            before,
            ..
        } = self;
        if !self.reserved {
            return write!(
                f,
                "{address} on network {network} is not reserved any more; it was {before}"
            );
        }
        write!(f, "reserved {address} on network {network} for ")?;
        match &self.container_name {
            Some(name) => write!(f, "container {name}")?,
            None => f.write_str("no container")?,
        }
        if !comment.is_empty() {
            write!(f, " ({comment})")?;
        }
        if !before.is_empty() {
            write!(f, "; before, it was {before}")?;
        }
        Ok(())
    }
}

/// Reserves an address of a network, by its name or id, for good: no other container gets
/// it, whether it asks for it or not. If it was already reserved, it is now for the new
/// container only. On return it is durable, and holds from the next start of a container.
///
/// # Errors
/// If no container may have the address, or it is leased to another container that is not
/// dead.
pub fn reserve(podman: &Podman, network: &str, pledge: &Pledge) -> Result<Reserved, ReserveError> {
    edit(podman, network, pledge.address, |network, pledges| {
        check_holder(podman, network, pledge)?;
        let before = take(pledges, pledge.address);
        pledges.push(pledge.clone());
        pledges.sort_by_key(|pledge| pledge.address);
        Ok(Reserved::new(network, pledge, before.as_ref()))
    })
}

/// Ends the reservation of an address. Otherwise as [`reserve`].
///
/// # Errors
/// If it is not reserved.
pub fn unreserve(
    podman: &Podman,
    network: &str,
    address: IpAddr,
) -> Result<Reserved, ReserveError> {
    edit(podman, network, address, |network, pledges| {
        let Some(ended) = take(pledges, address) else {
            let network = network.name.clone();
            return Err(ReserveError::NotReserved { address, network });
        };
        Ok(Reserved {
            reserved: false,
            ..Reserved::new(network, &ended, Some(&ended))
        })
    })
}

/// Takes the pledge of an address out of a list.
fn take(pledges: &mut Vec<Pledge>, address: IpAddr) -> Option<Pledge> {
    let at = pledges
        .iter()
        .position(|pledge| pledge.address == address)?;
    Some(pledges.remove(at))
}

/// Changes the pledges of a network in its file, under Podman's lock, so that no container
/// is started meanwhile. Nothing is written if `change` fails, if no container could start
/// on the network afterwards, or if berth.conf reserves the address.
fn edit(
    podman: &Podman,
    wanted: &str,
    address: IpAddr,
    change: impl FnOnce(&Network, &mut Vec<Pledge>) -> Result<Reserved, ReserveError>,
) -> Result<Reserved, ReserveError> {
    let _networks = podman.lock_networks(podman.settings.lock_wait())?;
    let directory = podman.network_config_dir()?;
    sweep(directory);
    let (file, network) = find(read_networks(directory)?, wanted)?;
    if let Some(item) = podman.settings.reserving(&network.name, address) {
        return Err(ReserveError::Configured {
            address,
            network: network.name,
            origin: item.origin.clone(),
        });
    }
    let mut pledges = parse(&network)?.pledges;
    let done = change(&network, &mut pledges)?;
    let mut after = network.clone();
    after.set_pledges(&pledges);
    let options = parse(&after)?;
    options::pools(&after, &options).map_err(|source| ReserveError::Pool {
        network: after.name.clone(),
        source,
    })?;
    let owner = file.metadata.as_ref();
    let owner = owner.map(|own| (own.mode() & 0o7777, own.uid(), own.gid()));
    let bytes = rewritten(&file.bytes, &network, &after);
    Staged::new(&file.path, &bytes, owner)?.put()?;
    podman.touch_networks();
    Ok(done)
}

fn parse(network: &Network) -> Result<Options, ReserveError> {
    Options::parse(network).map_err(|source| ReserveError::Options {
        network: network.name.clone(),
        source,
    })
}

/// Returns the file of the network that a person means by a name or id.
fn find(files: Vec<NetworkFile>, wanted: &str) -> Result<(NetworkFile, Network), ReserveError> {
    let no_network = || ReserveError::from(NoNetwork(wanted.to_owned()));
    let file = files.into_iter().find(|file| match &file.network {
        Ok(network) => network.answers_to(wanted),
        Err(_) => file.path.file_stem().is_some_and(|stem| stem == wanted),
    });
    let file = file.ok_or_else(no_network)?;
    match &file.network {
        Ok(network) if network.is_ours() => {
            let network = network.clone();
            Ok((file, network))
        }
        Ok(network) => Err(ReserveError::NotOurs(network.name.clone())),
        Err(fault @ (Fault::Unreadable(_) | Fault::Malformed(_))) => Err(ReserveError::File {
            network: wanted.to_owned(),
            fault: fault.to_string(),
        }),
    }
}

/// Refuses an address that is leased to another container that is not dead.
fn check_holder(podman: &Podman, network: &Network, pledge: &Pledge) -> Result<(), ReserveError> {
    if !Store::exists(&podman.state_directory) {
        return Ok(());
    }
    with_session(podman, "reserving an address by hand", |session| {
        let Some(tenant) = holder(session, network, pledge.address)? else {
            return Ok(());
        };
        let verdicts = session.judge(std::slice::from_ref(&tenant));
        match verdicts.into_iter().next() {
            Some(verdict @ (Verdict::Live(_) | Verdict::Unknown(_)))
                if !pledge.is_for(&tenant.container_name) =>
            {
                Err(ReserveError::Leased {
                    address: pledge.address,
                    network: network.name.clone(),
                    container: tenant.tenancy.container_id.short().to_owned(),
                    name: tenant.container_name.to_string(),
                    verdict,
                })
            }
            Some(_) | None => Ok(()),
        }
    })
}

fn holder(
    session: &Session<'_>,
    network: &Network,
    address: IpAddr,
) -> Result<Option<Tenant>, StoreError> {
    let transaction = session.store.begin();
    match transaction.lease(&network.id.as_str().into(), address)? {
        Some(lease) => transaction.holder(&lease.tenancy).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_in_one_line() {
        let network = serde_json::json!({"name": "n", "id": "i", "driver": "berth"});
        let network: Network = serde_json::from_value(network).expect("a network");
        let pledge =
            |name, comment| Pledge::new([10, 0, 0, 9].into(), name, comment).expect("good");
        let (web, printer) = (pledge(Some("web"), ""), pledge(None, "the printer"));
        assert_eq!(
            Reserved::new(&network, &web, None).to_string(),
            "reserved 10.0.0.9 on network n for container web"
        );
        assert_eq!(
            Reserved::new(&network, &printer, Some(&web)).to_string(),
            "reserved 10.0.0.9 on network n for no container (the printer); before, it was for \
             container web"
        );
        let ended = Reserved {
            reserved: false,
            ..Reserved::new(&network, &web, Some(&web))
        };
        assert_eq!(
            ended.to_string(),
            "10.0.0.9 on network n is not reserved any more; it was for container web"
        );
    }
}
