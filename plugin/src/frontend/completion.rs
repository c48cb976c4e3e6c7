//! What may come next on a command line: the answer to a shell that completes a word.
//!
//! The shell calls the program itself, with [`VARIABLE`] set and the words of the command
//! line after `--`. Only the answer is printed: no warning, no error. It comes within
//! [`BOUND`], or is empty.

use std::env;
use std::ffi::OsStr;
use std::panic;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use berth_share::ShareName;
use clap::Command;
use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;

use crate::podman::Podman;
use crate::protocol::Network;
use crate::rules::lease::Tenant;
use crate::rules::network_config::is_valid_name;
use crate::sharing;
use crate::upkeep::overview::{Names, State};
use crate::upkeep::share;

/// The environment variable by which a shell says that it is completing a word, and which
/// shell it is. The files that `berth-manual` writes set it; Podman never does.
pub const VARIABLE: &str = "_BERTH_COMPLETE";

/// The longest that a person waits for a look-up of what exists. It normally takes 20 ms;
/// it takes longer if a damaged store cannot be opened.
const BOUND: Duration = Duration::from_secs(1);

/// Answers a shell, if one has called, and returns the program's exit code.
///
/// Call it before everything else: logging has not started yet, so nothing is printed
/// into the middle of a command line.
pub fn answer(command: impl Fn() -> Command) -> Option<ExitCode> {
    if env::var_os(VARIABLE).is_none() || env::args_os().nth(1).is_none_or(|word| word != "--") {
        return None;
    }
    panic::set_hook(Box::new(|_| {}));
    let complete = CompleteEnv::with_factory(command).var(VARIABLE);
    let directory = env::current_dir().ok();
    let answered = complete.try_complete(env::args_os(), directory.as_deref());
    Some(match answered {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

/// Networks whose addresses berth leases.
pub fn networks() -> Vec<CompletionCandidate> {
    let names = known();
    let ours = names.networks.iter().filter(|network| network.is_ours());
    ours.map(network).collect()
}

/// Every network, including Podman's own.
pub fn all_networks() -> Vec<CompletionCandidate> {
    known().networks.iter().map(network).collect()
}

/// Addresses that are leased.
pub(super) fn leased() -> Vec<CompletionCandidate> {
    addresses(&known())
}

/// Addresses that `berth reserve` has reserved.
pub(super) fn reserved() -> Vec<CompletionCandidate> {
    let names = known();
    let pledged = names.pledged();
    let candidate = |(address, network): (_, &Network)| {
        candidate(format!("{address}"), format!("on {}", network.name))
    };
    pledged.map(candidate).collect()
}

/// Shares that berth.conf describes.
pub(super) fn shares() -> Vec<CompletionCandidate> {
    let podman = Podman::find(None, None).ok();
    let names = podman.map(|podman| sharing::configured(&podman));
    let names = names.unwrap_or_default().into_iter();
    names
        .map(|name| CompletionCandidate::new(name.as_str()))
        .collect()
}

/// Hosts of the shares that berth.conf describes, except this one.
pub(super) fn hosts() -> Vec<CompletionCandidate> {
    bounded(|| {
        let Ok(podman) = Podman::find(None, None) else {
            return Vec::new();
        };
        let shares = sharing::configured(&podman).into_iter();
        let of_share = |share: ShareName| {
            let others = share::hosts(&podman, &share).unwrap_or_default();
            let others = others.into_iter().filter(|host| !host.own);
            let others = others.map(|host| (host.name, format!("{} in {share}", host.state)));
            others.collect::<Vec<_>>()
        };
        shares.flat_map(of_share).collect::<Vec<_>>()
    })
    .into_iter()
    .filter(|(name, _)| is_valid_name(name))
    .map(|(name, help)| candidate(name, help))
    .collect()
}

/// Containers with leases, by name.
pub(super) fn containers() -> Vec<CompletionCandidate> {
    container_names(&known())
}

/// Everything berth can tell about: addresses, containers, networks.
pub(super) fn subjects() -> Vec<CompletionCandidate> {
    let names = known();
    let ours = names.networks.iter().filter(|network| network.is_ours());
    let mut all = container_names(&names);
    all.extend(ours.map(network));
    all.extend(addresses(&names));
    all
}

/// Filters of `berth list`: first the keys, then the values of the key that has been
/// typed.
pub(super) fn filters(begun: &OsStr) -> Vec<CompletionCandidate> {
    let begun = begun.to_string_lossy();
    let values: Vec<_> = match begun.split_once('=') {
        None => ["network=", "container=", "address=", "state="]
            .map(CompletionCandidate::new)
            .into(),
        Some((key, _)) => {
            let values = match key {
                "network" => networks(),
                "container" => containers(),
                "address" => leased(),
                "state" => State::LISTED
                    .map(|state| CompletionCandidate::new(state.as_str()))
                    .into(),
                _ => Vec::new(),
            };
            let whole = |value: CompletionCandidate| value.add_prefix(format!("{key}="));
            values.into_iter().map(whole).collect()
        }
    };
    let begins = |value: &CompletionCandidate| {
        let value = value.get_value().to_string_lossy();
        value.starts_with(&*begun)
    };
    values.into_iter().filter(begins).collect()
}

fn network(network: &Network) -> CompletionCandidate {
    let subnets = network.subnets.iter();
    let subnets: Vec<_> = subnets.map(|subnet| subnet.subnet.to_string()).collect();
    candidate(network.name.clone(), subnets.join(", "))
}

fn container_names(names: &Names) -> Vec<CompletionCandidate> {
    let tenants = names.tenants.iter();
    let named = tenants.filter(|tenant| is_valid_name(&tenant.container_name.0));
    let candidate = |tenant: &Tenant| {
        let name = tenant.container_name.to_string();
        candidate(name.clone(), "a container".to_owned()).id(Some(name))
    };
    named.map(candidate).collect()
}

fn addresses(names: &Names) -> Vec<CompletionCandidate> {
    let of = |tenant: &Tenant| {
        let (name, network) = (&tenant.container_name.0, &tenant.request.network.name);
        let whose = format!("{name} on {network}");
        let leased = tenant.leased.iter();
        let leased = leased.map(|leased| candidate(leased.address.to_string(), whose.clone()));
        leased.collect::<Vec<_>>()
    };
    names.tenants.iter().flat_map(of).collect()
}

fn candidate(word: String, help: String) -> CompletionCandidate {
    CompletionCandidate::new(word).help(Some(help.into()))
}

/// Returns what exists, for the Podman of the user who types; nothing if that takes too
/// long.
fn known() -> Names {
    bounded(|| {
        let podman = Podman::find(None, None);
        let names = podman.map(|podman| Names::known(&podman));
        names.unwrap_or_default()
    })
}

/// Returns what a look-up finds; nothing if it takes too long.
fn bounded<T: Default + Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        let _ = done.send(look());
    });
    result.recv_timeout(BOUND).unwrap_or_default()
}
