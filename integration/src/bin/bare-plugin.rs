//! A plugin that leases nothing: it makes up an address, which another container may have, and
//! leaves the rest to netavark. It shows what the plugin protocol costs. For the benchmark of
//! containers, as `/usr/libexec/netavark/bare` in a lab.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::ExitCode;

use berth::delegate::{self, Call, Connection};
use berth::frontend::plugin::{self, PluginError};
use berth::frontend::{finish, report};
use berth::podman::Podman;
use berth::protocol::{Network, PluginExec};
use berth::rules::attachment::Attachment;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let act = || {
        match args[..] {
            ["create"] => plugin::create(),
            ["setup", namespace] => plumb("setup", Path::new(namespace)),
            ["teardown", namespace] => plumb("teardown", Path::new(namespace)),
            _ => plugin::info(),
        }
        .map(|()| ExitCode::SUCCESS)
    };
    finish("bare-plugin", act, report)
}

fn plumb(verb: &'static str, namespace: &Path) -> Result<(), PluginError> {
    let request = io::read_to_string(io::stdin()).map_err(PluginError::Read)?;
    let exec = serde_json::from_str::<PluginExec>(&request);
    let attachment = Attachment::from(exec.map_err(|cause| PluginError::Parse { verb, cause })?);
    let podman = Podman::calling()?;
    let netavark = Call::of(&podman.netavark, &podman.delegation).start(verb, namespace);
    let connection = Connection {
        attachment: &attachment,
        addresses: &made_up(&attachment.network),
    };
    if verb == "teardown" {
        return delegate::teardown(netavark, &connection).map_err(PluginError::TakeDown);
    }
    let status = delegate::setup(netavark?, &connection)?;
    writeln!(io::stdout(), "{status}").map_err(PluginError::Write)
}

/// Returns an address of each of a network's subnets, all of which are IPv4, and no smaller
/// than /24.
fn made_up(network: &Network) -> Vec<IpAddr> {
    let host = 2 + std::process::id() % 250;
    let subnets = network.subnets.iter().map(|subnet| subnet.subnet.network());
    let addresses = subnets.filter_map(|first| match first {
        IpAddr::V4(first) => Some(Ipv4Addr::from_bits(first.to_bits() + host).into()),
        IpAddr::V6(_) => None,
    });
    addresses.collect()
}
