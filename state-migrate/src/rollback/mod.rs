//! Moves networks back from berth to Podman's own allocation, while their containers run.
//!
//! For each network, under the locks:
//! - U0 if berth is in front of netavark, collections do not adopt the network any more.
//! - U1 its bucket is written into ipam.db, from the store's leases: one commit.
//! - U2 the store forgets the network: one transaction.
//! - U3 the network's file names Podman's driver; the original file comes back if nothing
//!   else has changed since.
//!
//! So two allocators never serve the network at the same time, and its leases are never
//! unknown. If berth-migrate is killed after U1, it leaves a bucket that Podman never looks
//! at while the network is berth's; if it is killed after U2, the store adopts again the
//! addresses that namespaces hold. Either way, running the command again starts over.
//! `ARCHITECTURE.md` has the table.

mod bucket;

use std::net::IpAddr;

use berth::lifecycle::session::{LOCK_PATIENCE, Session, SessionError};
use berth::protocol::Network;
use berth::rules::allocator::Shelf;
use berth::rules::history::End;
use berth::rules::lease::{NetworkId, Tenant};
use berth::rules::network_config::hand_back;
use berth::rules::options::{self, Options};
use berth::rules::share;
use berth::sight::survey::{self, SurveyError};
use berth::upkeep::host_wide;
use ipnetwork::IpNetwork;

use crate::backup::{self, becomes};
use crate::bolt::{Bucket, Item};
use crate::error::Error;
use crate::file::{FileError, IpamFile};
use crate::moves::{HeldAddress, NetworkReport, Outcome, Party};
use crate::network_file::{NetworkFile, Staged, sweep};
use crate::site::Site;
use bucket::bucket;

/// How this command introduces itself to a process that waits for the store.
const INTRODUCTION: &str = "rollback of networks";

/// Reports what would be done with networks. With `all`, networks that are not berth's are
/// left alone; if they were named, the report says that they are already Podman's.
///
/// # Errors
/// If nothing can be looked at. A network in doubt is refused in the report.
pub(crate) fn examine(
    site: &Site,
    names: &[String],
    all: bool,
) -> Result<Vec<NetworkReport>, Error> {
    let networks = site.lock()?;
    let files = site.networks()?;
    let chosen = |file: &&NetworkFile| names.contains(&file.network.name);
    site.with_store(&networks, INTRODUCTION, |session| {
        let reports = files.iter().filter(chosen).map(|file| {
            let target = match Target::of(site, file, all)? {
                Ok(target) => target,
                Err(report) => return Ok(report),
            };
            Ok(match Leases::look(session, &file.network) {
                Ok(leases) => report(file, &target, &leases, Outcome::Planned),
                // Other networks are moved all the same.
                Err(error) => {
                    NetworkReport::of(&file.network, Outcome::Refused).because(berth::chain(&error))
                }
            })
        });
        reports.collect()
    })
}

/// Moves one network back. On return it is durable.
///
/// # Errors
/// If something fails; the network then still is berth's, with the same leases, unless the
/// error says otherwise.
pub(crate) fn roll_back(site: &Site, name: &str, all: bool) -> Result<NetworkReport, Error> {
    let networks = site.lock()?;
    sweep(&site.directory);
    let file = site.network(name)?;
    let target = match Target::of(site, &file, all)? {
        Ok(target) => target,
        Err(report) => return Ok(report),
    };
    if host_wide::link(&site.conf).is_some() {
        let exempted = host_wide::exempt(&site.directory, &file.network.id);
        exempted.map_err(Error::Exempt)?;
    }
    // Written before anything is changed, so that only the renaming can still fail.
    let staged = target.stage(&file)?;
    let leases = site.with_store(&networks, INTRODUCTION, |session| {
        let leases = Leases::take(session, &file.network)?;
        record(
            site,
            name,
            bucket(&target.network, &leases.tenants, &leases.cursors),
        )?;
        let mut transaction = session.store.begin();
        transaction.hand_over_network(&leases.network)?;
        transaction.commit(session.now)?;
        let tenants: Vec<_> = leases.tenants.iter().collect();
        session.note_end(
            &tenants,
            End::Moved,
            "its network went back to Podman's own allocation",
        );
        Ok(leases)
    })?;
    let done = report(&file, &target, &leases, Outcome::Done);
    let placed = match staged {
        Some(staged) => staged.put().map_err(FileError::from),
        None => file.remove(),
    };
    if let Err(error) = placed {
        return Ok(done.failed(format!(
            "{}; the network is still berth's, and berth will adopt its containers again; run \
             this again when that is repaired",
            berth::chain(&error)
        )));
    }
    if let Err(error) = backup::forget(&file) {
        log::warn!("{}", berth::chain(&error));
    }
    Ok(done)
}

/// U1: puts a network's bucket into ipam.db, and replaces whatever is there.
fn record(site: &Site, name: &str, bucket: Option<Bucket>) -> Result<(), Error> {
    let path = site.ipam_db();
    let ipam = match &bucket {
        Some(_) => Some(IpamFile::open_or_create(&path, LOCK_PATIENCE)?),
        None => IpamFile::open(&path, LOCK_PATIENCE)?,
    };
    let Some(ipam) = ipam else { return Ok(()) };
    let before = ipam.content()?;
    let mut root = before.clone();
    match bucket {
        Some(bucket) => root
            .items
            .insert(name.as_bytes().to_vec(), Item::Bucket(bucket)),
        None => root.items.remove(name.as_bytes()),
    };
    if root != before {
        ipam.replace(&root)?;
    }
    Ok(())
}

/// What becomes of a network's file.
struct Target {
    network: Network,
    /// What its file must contain.
    after: After,
}

enum After {
    /// The original file, byte for byte.
    Original(Box<NetworkFile>),
    /// The present file without our changes.
    Rewritten(Vec<u8>),
    /// No file: Podman makes the same network in its memory.
    Nothing,
}

impl Target {
    /// Returns what becomes of a network, or the report if it is not berth's.
    fn of(
        site: &Site,
        file: &NetworkFile,
        all: bool,
    ) -> Result<Result<Self, NetworkReport>, Error> {
        let not = |outcome, reason: String| {
            Ok(Err(
                NetworkReport::of(&file.network, outcome).because(reason)
            ))
        };
        if !file.network.is_ours() {
            let outcome = match (all, file.network.is_podmans()) {
                (false, true) => Outcome::Already,
                (true, _) => Outcome::Skipped,
                (false, false) => Outcome::Refused,
            };
            return not(outcome, "berth does not lease its addresses".to_owned());
        }
        let network = match hand_back(file.network.clone()) {
            Ok(network) => network,
            Err(error) => return not(Outcome::Refused, error.to_string()),
        };
        let after = if let Some(original) = backup::original(file)? {
            After::Original(Box::new(original))
        } else if is_of_memory(site, file)? {
            After::Nothing
        } else {
            After::Rewritten(file.rewritten(&network))
        };
        Ok(Ok(Self { network, after }))
    }

    fn stage(&self, file: &NetworkFile) -> Result<Option<Staged>, Error> {
        Ok(match &self.after {
            After::Original(original) => Some(original.stage_as(file)?),
            After::Rewritten(bytes) => Some(file.stage(bytes)?),
            After::Nothing => None,
        })
    }
}

/// Returns whether Podman makes this very network in its memory, apart from the time of
/// creation.
fn is_of_memory(site: &Site, file: &NetworkFile) -> Result<bool, Error> {
    if file.network.name != site.conf.default_network {
        return Ok(false);
    }
    let mut made = berth::podman::default_network(&site.conf)?;
    made.rest.clone_from(&file.network.rest);
    Ok(becomes(&made, &file.network))
}

/// What berth has leased of a network.
struct Leases {
    network: NetworkId,
    tenants: Vec<Tenant>,
    cursors: Vec<(IpNetwork, IpAddr)>,
    /// How many addresses wait for their former holders.
    holds: usize,
}

impl Leases {
    /// Returns what the store knows, and what it would adopt.
    ///
    /// # Errors
    /// If that is in doubt, or other hosts lease from the same pool.
    fn look(session: &Session<'_>, network: &Network) -> Result<Self, Error> {
        let all = session.store.begin().all_tenants()?;
        let survey = session.survey_including(network, &all)?;
        if let Some(doubt) = survey.doubt_about(network) {
            return Err(SessionError::from(SurveyError::Incomplete(doubt)).into());
        }
        let mut own = Self::known(session, network)?;
        own.check_unshared(session, network)?;
        let delegation = &session.podman.delegation;
        for adoption in survey::adoptions(&survey, &all, delegation, session.now) {
            if adoption.tenant.tenancy.network_id == own.network {
                own.tenants
                    .retain(|tenant| tenant.tenancy != adoption.tenant.tenancy);
                own.tenants.push(adoption.into_tenant());
            }
        }
        Ok(own)
    }

    /// Adopts what the store does not know, and returns what it then knows.
    fn take(session: &Session<'_>, network: &Network) -> Result<Self, Error> {
        let tenants = session.store.begin().all_tenants()?;
        let survey = session.survey_including(network, &tenants)?;
        session.adopt(&survey, tenants)?;
        let own = Self::known(session, network)?;
        own.check_unshared(session, network)?;
        Ok(own)
    }

    /// Fails if the network is in a share, or a container has had its addresses claimed in one
    /// since before the network left it. Podman asks no other host; and without leases here, the
    /// next collection would give back the claims of running containers.
    fn check_unshared(&self, session: &Session<'_>, network: &Network) -> Result<(), Error> {
        let mut filled = network.clone();
        session.podman.fill_in(&mut filled);
        if let Some(share) = share::of_network(&filled) {
            return Err(Error::Shared(share));
        }
        for tenant in &self.tenants {
            if let Some(share) = share::of_network(&tenant.request.network) {
                let container = tenant.container_name.to_string();
                return Err(Error::SharedClaim { share, container });
            }
        }
        Ok(())
    }

    fn known(session: &Session<'_>, network: &Network) -> Result<Self, Error> {
        let id: NetworkId = network.id.as_str().into();
        let transaction = session.store.begin();
        let options = Options::parse(network).unwrap_or_default();
        let mut cursors = Vec::new();
        for pool in options::pools(network, &options).unwrap_or_default() {
            if let Some(address) = transaction.shelf(&id).cursor(&pool)? {
                cursors.push((pool.subnet(), address));
            }
        }
        let holds = transaction.reservations(&id)?;
        let lasts = holds
            .iter()
            .filter(|(_, hold)| hold.until.boot_ms > session.now.boot_ms);
        Ok(Self {
            holds: lasts.count(),
            tenants: transaction.tenants(&id)?,
            network: id,
            cursors,
        })
    }
}

fn report(file: &NetworkFile, target: &Target, leases: &Leases, outcome: Outcome) -> NetworkReport {
    let mut report = NetworkReport::of(&file.network, outcome);
    let party = |tenant: &Tenant| Party {
        container_id: tenant.tenancy.container_id.to_string(),
        container_name: tenant.container_name.to_string(),
        addresses: tenant
            .leased
            .iter()
            .map(|own| HeldAddress {
                address: own.address,
                kind: own.kind,
            })
            .collect(),
    };
    report.containers = leases.tenants.iter().map(party).collect();
    report
        .containers
        .sort_by_key(|party| party.addresses.first().map(|held| held.address));
    report
        .changes
        .push("writes its leases into ipam.db".to_owned());
    if leases.holds > 0 {
        report.changes.push(format!(
            "ends {} reservations and cooldowns, which Podman does not have",
            leases.holds
        ));
    }
    let reserved = Options::parse(&file.network).unwrap_or_default().pledges;
    if !reserved.is_empty() {
        let reserved = reserved.iter();
        let reserved: Vec<_> = reserved
            .map(|pledge| format!("{} {}", pledge.address, pledge.whom()))
            .collect();
        report.changes.push(format!(
            "ends what `berth reserve` has reserved, which Podman does not have: {}",
            reserved.join("; ")
        ));
    }
    let path = file.path.display();
    report.changes.push(match &target.after {
        After::Original(_) => format!(
            "puts {path} back as it was, from {}",
            backup::path(file).display()
        ),
        After::Rewritten(_) => {
            let options = file.network.options.keys();
            let ours: Vec<_> = options
                .filter(|name| options::is_ours(name))
                .map(String::as_str)
                .collect();
            let dropped = match &ours[..] {
                [] => String::new(),
                ours => format!(", without option {}", ours.join(", ")),
            };
            format!("rewrites {path}: driver {}{dropped}", target.network.driver)
        }
        After::Nothing => format!("removes {path}: Podman makes this network in its memory"),
    });
    report
}
