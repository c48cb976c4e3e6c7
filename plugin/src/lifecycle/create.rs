//! The verb `create`: a network configuration in, the completed one out.

use std::net::IpAddr;

use serde_json::Value;
use thiserror::Error;

use crate::podman::{self, HostError};
use crate::podman::{CommandLine, ConfError, ContainersConf, Environment, Podman, PodmanError};
use crate::protocol::Network;
use crate::rules::network_config::{self, Asker, CreateError};
use crate::rules::pool::PoolError;
use crate::rules::settings::Mistake;
use crate::rules::share;
use crate::sharing::{Seat, SharingError};

/// Why a network is not created. Join the chain with `: ` for the user.
#[derive(Debug, Error)]
pub enum Error {
    #[error("failed to read the network configuration from standard input")]
    Input(#[source] serde_json::Error),
    /// A DNS server is not an address. Podman checks this only after us.
    #[error(
        "unable to parse ip {server} specified in NetworkDNSServers: invalid argument; give an IPv4 or IPv6 address"
    )]
    DnsServer { server: String },
    #[error(transparent)]
    Conf(#[from] ConfError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Podman(#[from] PodmanError),
    #[error(transparent)]
    Mistake(#[from] Mistake),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Sharing(#[from] SharingError),
}

/// Completes the network configuration that Podman (or netavark, from 2.0 on) hands to a
/// plugin. Reads containers.conf, the network configurations and the host's links,
/// addresses and routes; changes nothing. A network in a share must match the share.
///
/// # Errors
/// [`enum@Error`] if the network cannot work or the host's facts cannot be read.
pub fn run(input: &str) -> Result<Network, Error> {
    let network = parse(input)?;
    let environment = Environment::of_this_process();
    let conf = ContainersConf::load(&environment)?;
    let callers = podman::callers();
    let facts = podman::gather(&environment, &conf, &callers)?;
    let asker = if callers.first().is_some_and(CommandLine::is_netavark) {
        Asker::Netavark
    } else {
        Asker::Podman
    };
    let random = || fastrand::u64(..).to_ne_bytes();
    let network = network_config::complete(network, asker, &facts, &conf.subnet_pools, random)?;
    agree(&network)?;
    Ok(network)
}

/// Checks, for a network that is to be in a share, that this host agrees with the others
/// about it.
fn agree(network: &Network) -> Result<(), Error> {
    let settings = podman::settings(&Environment::of_this_process());
    let mut as_set = network.clone();
    let applied = settings.apply(&mut as_set);
    let Some(name) = share::of_network(&as_set) else {
        return Ok(());
    };
    applied?;
    let podman = Podman::calling()?;
    let mut seat = Seat::take(&podman, &name, podman.settings.lock_wait())?;
    let total = seat.configuration.times.total;
    let terms = share::terms(&as_set)?;
    Ok(seat.speak(Some(&terms), total, |_| Ok(()))?)
}

fn parse(input: &str) -> Result<Network, Error> {
    let value: Value = serde_json::from_str(input).map_err(Error::Input)?;
    let servers = value.get("network_dns_servers").and_then(Value::as_array);
    if let Some(server) = servers
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find(|server| server.parse::<IpAddr>().is_err())
    {
        return Err(Error::DnsServer {
            server: server.to_owned(),
        });
    }
    serde_json::from_value(value).map_err(Error::Input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_input_is_refused_in_one_line() {
        let check = |input: &str, expected: &str| {
            let text = parse(input).map_or_else(
                |error| match std::error::Error::source(&error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                },
                |_| "accepted".to_owned(),
            );
            assert_eq!(text, expected);
        };
        let base = r#""name":"n","id":"i","driver":"berth""#;
        check(&format!("{{{base}}}"), "accepted");
        check(
            &format!(r#"{{{base},"network_dns_servers":["1.1.1.1","a.b.c.d"]}}"#),
            "unable to parse ip a.b.c.d specified in NetworkDNSServers: invalid argument; give an IPv4 or IPv6 address",
        );
        check(
            r#"{"name":"n"}"#,
            "failed to read the network configuration from standard input: missing field `id`",
        );
        check(
            "",
            "failed to read the network configuration from standard input: EOF while parsing a value at line 1 column 0",
        );
    }
}
