//! What the kernel shows, as a repair of the store wants to know it.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::rules::lease::{ContainerId, Moment, Tenant};
use crate::rules::verdict::{self, Verdict};
use crate::sight::{self, Evidence, PathFact};
use crate::store::Lookout;

/// The evidence of one moment, and the addresses that namespaces of this host hold.
pub(super) struct Watch {
    evidence: Evidence,
    /// An error if there may be an address that is held and not seen.
    held: Result<HashMap<IpAddr, PathBuf>, String>,
    /// Whether there may be processes that are not seen.
    partial: bool,
}

impl Watch {
    /// Looks at these tenants and everybody else; `namespaces` is where Podman puts
    /// the files of its namespaces. The caller holds the store's lock since before
    /// it read the tenants.
    pub(super) fn keep(tenants: &[Tenant], namespaces: &Path, boot_id: &str, now: Moment) -> Self {
        let mut evidence = Evidence::gather(tenants, boot_id, now);
        // Whose processes we do not see, we know by those on record only.
        let elsewhere = |tenant: &Tenant| {
            tenant.boot_id == boot_id && tenant.pid_namespace != evidence.pid_namespace
        };
        let partial = evidence.unreadable.is_some() || tenants.iter().any(elsewhere);
        // Those of the tenants are noted already; a lease without a tenant has none.
        let noted = note_namespaces(&mut evidence, namespaces);
        let held = match noted {
            Ok(()) if partial => Err("some processes cannot be seen".to_owned()),
            Ok(()) => sight::on_this_host(&evidence).map_err(|error| crate::chain(&error)),
            Err(reason) => Err(reason),
        };
        Self {
            evidence,
            held,
            partial,
        }
    }

    /// Judges tenants, in order.
    pub(super) fn verdicts(&self, tenants: &[Tenant]) -> Vec<Verdict> {
        sight::judge_all(tenants, &self.evidence)
    }
}

/// Adds the namespaces with a file in a directory, which need not exist.
fn note_namespaces(evidence: &mut Evidence, directory: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        match sight::examine(&path) {
            PathFact::There(key) => {
                evidence.named.insert(key, path);
            }
            PathFact::Missing => {}
            PathFact::Unreadable(reason) => return Err(reason),
        }
    }
    Ok(())
}

impl Lookout for Watch {
    /// A verdict worth a second look counts as a doubt.
    fn may_be_alive(&self, tenant: &Tenant) -> bool {
        match verdict::judge(tenant, &self.evidence) {
            Verdict::Dead(cause) => cause.is_hasty(),
            Verdict::Live(_) | Verdict::Unknown(_) => true,
        }
    }

    fn may_be_held(&self, address: IpAddr) -> bool {
        self.held
            .as_ref()
            .map_or(true, |held| held.contains_key(&address))
    }

    fn may_be_at_work_for(&self, container: &ContainerId) -> bool {
        let mut processes = self.evidence.processes.iter();
        self.partial || processes.any(|process| process.mentions(container.as_str()))
    }
}
