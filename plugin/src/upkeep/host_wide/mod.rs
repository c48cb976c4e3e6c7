//! The host-wide mode: berth is in front of netavark, and leases the addresses of all
//! networks with netavark's own drivers.
//!
//! A network becomes berth's by `berth-migrate adopt`, which takes Podman's lock itself.
//! Therefore nothing is adopted during a call from Podman, which holds that lock and has
//! its own copy of the network: a collection does it a moment later.

mod exemption;
mod switch;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::podman::{
    ContainersConf, Environment, Podman, PodmanError, default_network, known_networks,
};
use crate::protocol::Network;
use crate::rules::lease::is_id;
use crate::sight::front;

pub use exemption::{end as end_exemption, exempt, is_exempt};
pub use switch::{Status, SwitchError, off, on};

/// How long berth waits, once a starting container has triggered a network's adoption, before
/// another one may. The timer tries about as often.
const PAUSE: Duration = Duration::from_secs(60);

/// Why adoption failed.
#[derive(Debug, Error)]
pub enum AdoptionError {
    #[error(transparent)]
    Status(#[from] SwitchError),
    #[error(transparent)]
    Podman(#[from] PodmanError),
    #[error("failed to run {}", .0.display())]
    Run(PathBuf, #[source] io::Error),
}

/// Returns the link, or copy, by which Podman runs berth as its netavark, if there is one.
pub fn link(conf: &ContainersConf) -> Option<PathBuf> {
    front::link(&conf.helper_binaries_dir)
}

/// Returns whether a collection should be started for a network whose addresses Podman
/// leases, because none was started for it in the last minute.
pub fn is_adoption_due(podman: &Podman, network: &Network) -> bool {
    let directory = podman.delegation.config.join("berth-asked");
    let stays = |directory| is_exempt(directory, &network.id);
    let stays = podman.network_config_dir().is_ok_and(stays);
    if !network.is_adoptable() || !is_id(&network.id) || stays {
        return false;
    }
    let stamp = directory.join(&network.id);
    let age = fs::metadata(&stamp)
        .and_then(|file| file.modified())
        .map(|at| SystemTime::now().duration_since(at));
    if matches!(age, Ok(Ok(age)) if age < PAUSE) {
        return false;
    }
    let stamped = fs::create_dir_all(&directory)
        .and_then(|()| File::create(&stamp))
        .and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = stamped {
        log::debug!("failed to write {}: {error}", stamp.display());
    }
    true
}

/// Has `berth-migrate` adopt every network that can be adopted, and take leaked addresses
/// out of ipam.db for those that stay with Podman. Waits for it; no lock may be held. If
/// it fails, its output is logged.
///
/// # Errors
/// If it cannot be run. A network in doubt is no error: it is tried again.
pub fn adopt(podman: &Podman) -> Result<(), AdoptionError> {
    let directory = podman.make_network_config_dir()?;
    if has_adoptable(directory)? {
        migrate(
            podman,
            directory,
            &["adopt", "--all", "--yes", "--unattended"],
        )?;
    }
    if !Status::of(podman)?.podman.is_empty() {
        migrate(podman, directory, &["sanitise"])?;
    }
    Ok(())
}

/// Returns whether Podman leases the addresses of a network that a collection may adopt.
fn has_adoptable(directory: &Path) -> Result<bool, AdoptionError> {
    let conf = ContainersConf::load(&Environment::of_this_process()).map_err(SwitchError::from)?;
    let mut networks = known_networks(directory).map_err(PodmanError::from)?;
    if networks.iter().all(|own| own.name != conf.default_network) {
        networks.push(default_network(&conf).map_err(PodmanError::from)?);
    }
    let mut networks = networks.iter();
    Ok(networks.any(|own| own.is_adoptable() && !is_exempt(directory, &own.id)))
}

fn migrate(podman: &Podman, directory: &Path, arguments: &[&str]) -> Result<(), AdoptionError> {
    let program = berth_migrate();
    let done = Command::new(&program)
        .args(arguments)
        .arg("--run-dir")
        .arg(&podman.delegation.config)
        .arg("--config-dir")
        .arg(directory)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| AdoptionError::Run(program.clone(), error))?;
    if !done.status.success() {
        log::info!(
            "{} {}: {}{}",
            program.display(),
            arguments.join(" "),
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(())
}

/// Returns the `berth-migrate` that was installed with this executable: beside it, or in
/// `bin` of the same prefix; otherwise the one of `PATH`.
pub fn berth_migrate() -> PathBuf {
    const NAME: &str = "berth-migrate";
    let own = fs::canonicalize("/proc/self/exe").unwrap_or_default();
    let beside = own.with_file_name(NAME);
    let in_bin = own
        .ancestors()
        .nth(3)
        .map(|prefix| prefix.join("bin").join(NAME));
    let mut installed = [Some(beside), in_bin].into_iter().flatten();
    installed
        .find(|path| path.is_file())
        .unwrap_or_else(|| NAME.into())
}
