//! Checks whether everything is as it should be: every invariant of the store, the
//! installation around it, and the holders of the leases.
//!
//! Each check judges facts that were gathered before. A check that cannot be made is a
//! finding, and the others go on. No lock is held while berth waits for another
//! program's answer, because Podman may wait for the same lock.
//!
//! Never: make a store, change anything without being told to repair, or take a lease
//! from a container that may hold the address.

mod collection;
mod directory;
mod finding;
mod firewall;
mod holders;
mod network_lock;
mod networks;
mod programs;
mod records;
mod settings;
mod shares;
mod state;

use std::path::{Path, PathBuf};

pub use finding::{Finding, Level, Report};

use super::host_wide;
use crate::podman;
use crate::podman::Podman;
use crate::podman::{ContainersConf, Environment};
use crate::sight;
use programs::PluginFacts;

/// What to examine.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    pub run_directory: Option<&'a Path>,
    pub network_config_dir: Option<&'a Path>,
    pub repair: bool,
}

/// Examines everything. Waits at most ten seconds each for Podman's network lock and
/// then the store's, and holds both while it checks the store. What is repaired is
/// durable on return.
pub fn examine(visit: &Visit<'_>) -> Report {
    let podman_says = programs::ask_podman();
    let mut report = examine_host(visit);
    report.add(programs::podman(&podman_says()));
    report
}

fn examine_host(visit: &Visit<'_>) -> Report {
    let mut report = Report::default();
    let environment = Environment::of_this_process();
    let rootless = environment.rootless();
    let conf = ContainersConf::load(&environment).unwrap_or_else(|error| {
        report.add([unconfigured(&error)]);
        ContainersConf::default()
    });
    let netavark = podman::netavark(&conf).ok();
    report.add(programs::netavark(
        netavark.as_deref(),
        &conf.helper_binaries_dir,
        programs::ask_netavark(netavark.as_deref()).as_ref(),
    ));
    let systemd = programs::ask_systemd(rootless);
    report.add(programs::timer(systemd.as_ref(), rootless));

    let netavark = netavark.unwrap_or_else(|| PathBuf::from("netavark"));
    let directories = (visit.run_directory, visit.network_config_dir);
    let podman = match Podman::of(netavark, &environment, &conf, directories) {
        Ok(podman) => podman,
        Err(error) => {
            report.add([unconfigured(&error)]);
            return report;
        }
    };
    let files = podman
        .network_config_dir()
        .map_err(|error| unconfigured(&error))
        .and_then(networks::read);
    let is_in_front = host_wide::link(&conf).is_some();
    match &files {
        Ok(files) => {
            report.add(networks::judge(files, &conf.default_network));
            report.add(networks::unserved(files, is_in_front));
            report.add(networks::orphaned_servers(&podman.delegation.config));
            report.add(networks::servers(files, &podman.delegation.config));
            match sight::links() {
                Ok(links) => report.add(networks::bridges(files, &links)),
                Err(error) => log::warn!("failed to list this host's interfaces: {error}"),
            }
        }
        Err(unreadable) => report.add([unreadable.clone()]),
    }
    if let Ok(lock) = podman.network_lock() {
        report.add(network_lock::examine(&lock, visit.repair));
    }
    let files = files.unwrap_or_default();
    // In front of netavark, berth serves plain networks without its plugin.
    if !is_in_front || networks::need_plugin(&files) {
        report.add(plugin(&conf));
    }
    report.add(settings::judge(&podman.settings, &files));
    report.add(shares::examine(&podman, &files));
    if podman.state_mistake().is_none() {
        state::examine(&podman, visit.repair, &mut report);
    }
    report.add(firewall::examine(&podman));
    report.name_networks(&networks::names(&files));
    report
}

/// Returns what keeps Podman from running the plugin, if anything does.
pub fn plugin(conf: &ContainersConf) -> Option<Finding> {
    programs::plugin(&PluginFacts::gather(&conf.netavark_plugin_dirs))
}

fn unconfigured(error: &dyn std::error::Error) -> Finding {
    Finding::problem("configuration", crate::chain(error))
        .repair("repair that, and run this again: not everything could be checked")
}
