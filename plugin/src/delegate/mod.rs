//! Running the real netavark for the plumbing, with the addresses we chose.
//!
//! netavark makes and removes the interface, the firewall rules and the DNS
//! entry; this module only calls it. It never changes a lease.

mod dns;
mod links;
mod netavark;
mod orphan;
mod program;
mod request;
mod standin;

use std::io;

use nix::net::if_::if_nametoindex;
use serde_json::{Value, json};

pub use dns::{end_orphaned, end_stray, orphaned_servers, put_servers_right, wrong_servers};
pub use links::remove_link;
pub use netavark::{Call, DelegateError, Ready, Started};
pub use orphan::{await_orphans, wait_until};
pub use program::{ask, memory};
pub use request::{Connection, SeveralPerSubnet};
pub use standin::{StandIn, StandInError};

use crate::protocol::{Network, Request};
use crate::rules::attachment::AttachmentOptions;
use crate::rules::bridge::{self, is_netavarks, managed, other_than_bridge};
use crate::sight::{self, Link};

/// Sets the plumbing up and returns netavark's status block for the network.
///
/// # Errors
/// If netavark refuses, or does not end in time. The plumbing may then be half done: tear it
/// down.
pub fn setup(netavark: Ready<'_>, connection: &Connection<'_>) -> Result<Value, DelegateError> {
    let request = connection.setup_request(netavark.several(&[*connection])?);
    let mut answer = netavark.run(&request)?;
    Ok(connection.status_block(&mut answer))
}

/// Sets up a container on several networks with one netavark and returns its whole answer,
/// with the status blocks of `connections` corrected. `request` is Podman's own, with
/// these connections replaced in it.
///
/// # Errors
/// As [`setup`].
pub fn setup_together(
    netavark: Ready<'_>,
    mut request: Request,
    connections: &[Connection<'_>],
) -> Result<Value, DelegateError> {
    let several = netavark.several(connections)?;
    for connection in connections {
        replace(&mut request, connection, connection.for_setup(several));
    }
    let mut answer = netavark.run(&request.into_value())?;
    for connection in connections {
        let status = connection.status_block(&mut answer);
        answer[&connection.attachment.network.name] = status;
    }
    Ok(answer)
}

/// Takes the plumbing down. It is not a failure if something is already gone.
///
/// # Errors
/// If netavark was not started, does not end in time, or reports a failure that means more
/// than "already gone": all those failures, joined.
pub fn teardown(netavark: Started<'_>, connection: &Connection<'_>) -> Result<(), String> {
    let own = for_teardown(connection, &sight::links());
    take_down(netavark, &connection.request(own))
}

/// Takes down a container on several networks with one netavark, just as
/// [`setup_together`] sets it up.
///
/// # Errors
/// As [`teardown`].
pub fn teardown_together(
    netavark: Started<'_>,
    mut request: Request,
    connections: &[Connection<'_>],
) -> Result<(), String> {
    let links = sight::links();
    for connection in connections {
        replace(&mut request, connection, for_teardown(connection, &links));
    }
    take_down(netavark, &request.into_value())
}

/// Returns what is to be torn down. With the last container, netavark removes whatever
/// interface has the bridge's name (netavark 1.14 `bridge.rs`, `remove_link`). If netavark
/// has not made that interface, or it is not known whether it has, the request has a name
/// that no interface has.
fn for_teardown(
    connection: &Connection<'_>,
    links: &io::Result<Vec<Link>>,
) -> (Network, AttachmentOptions) {
    let (mut network, options) = connection.for_teardown();
    let own = &connection.attachment.network;
    let is_strange = match links {
        Ok(links) => {
            let is_admins = |bridge: &Link| !is_netavarks(own, bridge);
            other_than_bridge(own, links).is_some() || bridge::of(own, links).is_some_and(is_admins)
        }
        Err(_) => managed(own).is_some(),
    };
    if is_strange {
        network.network_interface = Some(format!("nobridge{}", std::process::id()));
    }
    (network, options)
}

fn replace(
    request: &mut Request,
    connection: &Connection<'_>,
    (network, options): (Network, AttachmentOptions),
) {
    let name = &connection.attachment.network.name;
    request.replace(name, json!(network), json!(options));
}

fn take_down(netavark: Started<'_>, request: &Value) -> Result<(), String> {
    match netavark.and_then(|netavark| netavark.run(request)) {
        Ok(_) => Ok(()),
        Err(error) => error.serious().map_or(Ok(()), Err),
    }
}

/// How often a teardown in a stand-in is tried.
///
/// netavark may be killed half-way. Also, when it removes the last port of a bridge, it
/// removes the bridge, then the network's chains together with the container's rules. nft
/// refuses that as long as rules of a dead container without an interface lead to those
/// chains. Without a bridge, netavark removes the container's rules alone, so the second
/// teardown succeeds where the first did not (seen with netavark 1.14).
const ATTEMPTS: u32 = 3;

/// How much a teardown in a stand-in takes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What the container has. Teardowns of other containers on its network follow.
    Container,
    /// Also the network's own rules, if its bridge is gone.
    Network,
}

impl Reach {
    /// Returns the reach on a network, by its id. `later` are the networks of what is
    /// taken down afterwards: of several on a network, only the last reaches to the
    /// network.
    pub fn of<'n>(network: &str, mut later: impl Iterator<Item = &'n str>) -> Self {
        match later.any(|other| other == network) {
            true => Self::Container,
            false => Self::Network,
        }
    }
}

/// Takes down what is left of plumbing whose namespace or interface is gone.
///
/// # Errors
/// As [`teardown`]; also if the kernel refuses a stand-in. It is not a failure if the
/// network's own rules stay: they do as long as another ghost's rules are among them, and
/// go with that ghost.
pub fn teardown_in_stand_in(
    call: &Call<'_>,
    connection: &Connection<'_>,
    reach: Reach,
) -> Result<(), String> {
    let gone = |bridge: &&str| reach == Reach::Network && if_nametoindex(*bridge).is_err();
    let bridge = managed(&connection.attachment.network).filter(gone);
    let interface = connection.attachment.options.interface.as_str();
    let run_with = |own| {
        let stand_in = StandIn::new(interface).map_err(|error| crate::chain(&error))?;
        let namespace = stand_in.path();
        take_down(call.start("teardown", &namespace), &connection.request(own))
    };
    let run = || run_with(for_teardown(connection, &sight::links()));
    let mut done = run();
    for _ in 1..ATTEMPTS {
        if let Err(reason) = &done {
            log::debug!("tearing down once more: {reason}");
            done = run();
        }
    }
    done?;
    let Some(bridge) = bridge else {
        return Ok(());
    };
    let made = links::make_bridge(bridge).map_err(|error| error.to_string());
    if let Err(reason) = made.and_then(|()| run_with(connection.for_teardown())) {
        log::debug!("rules of the network with bridge {bridge} stay: {reason}");
    }
    Ok(())
}
