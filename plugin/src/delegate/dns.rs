//! Cures a name server, started by netavark, that serves at the wrong addresses, or has
//! outlived its network namespace or its files.
//!
//! When netavark makes a network's file of DNS names, it writes into the first line the
//! addresses at which they are served. The file has the network's name. If a network is
//! made again under that name, on another subnet, it finds the old addresses there for as
//! long as a dead container has a name in the file (seen with netavark 1.14), and nothing
//! answers at the new network's own addresses.
//!
//! Rootless Podman removes the namespace of its bridges, and the directories of the mount
//! namespace in which netavark ran, with the last container it knows of. It does not know
//! of a ghost, whose name keeps aardvark-dns alive in both. That aardvark-dns can no
//! longer find its files, so it does not even notice that it has nobody left to serve.
//! netavark tells a running server to read its files again, wherever it runs, and starts
//! another one only if there is none, so no name would resolve.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::orphan::wait_until;
use crate::protocol::Network;
use crate::rules::lease::Process;
use crate::sight::survey::NameFile;
use crate::sight::{self, ProcessFact};

/// How long aardvark-dns may take to end; it normally takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The name server's name, as the kernel has it.
const SERVER: &str = "aardvark-dns";

/// The name of the file with the name server's pid.
const PID: &str = "aardvark.pid";

/// Returns a network's file of DNS names, if it says that they are served at an address
/// that is none of the network's gateways.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn wrong_servers(run_directory: &Path, network: &Network) -> io::Result<Option<NameFile>> {
    let is_own = |address: &IpAddr| network.gateways().any(|gateway| gateway == *address);
    let has_gateway = network.gateways().next().is_some();
    let is_wrong = |file: &NameFile| has_gateway && !file.servers().iter().all(is_own);
    Ok(NameFile::of(run_directory, network)?.filter(is_wrong))
}

/// Has a network's names served at its own gateways, if they are served elsewhere. Returns
/// whether they were. The caller has Podman's network lock, so no netavark writes the
/// file. A running server reads the file at netavark's next setup; with `tell`, it is told
/// to do so now, if the gateways are there.
///
/// # Errors
/// If the file cannot be read or replaced.
pub fn put_servers_right(run_directory: &Path, network: &Network, tell: bool) -> io::Result<bool> {
    let Some(wrong) = wrong_servers(run_directory, network)? else {
        return Ok(false);
    };
    let own: Vec<_> = network.gateways().collect();
    let mut file = tempfile::NamedTempFile::new_in(run_directory)?;
    file.write_all(wrong.served_at(&own).as_bytes())?;
    file.as_file()
        .set_permissions(fs::metadata(&wrong.path)?.permissions())?;
    file.persist(&wrong.path)?;
    if tell && let Some(server) = server(&NameFile::directory(run_directory)) {
        let _ = kill(Pid::from_raw(server.process.pid), Signal::SIGHUP);
    }
    Ok(true)
}

/// Returns the running name server, if there is one.
fn server(directory: &Path) -> Option<ProcessFact> {
    let pid = fs::read_to_string(directory.join(PID)).ok()?;
    let server = sight::process(pid.trim().parse().ok()?)?;
    server.name.starts_with("aardvark").then_some(server)
}

/// Returns our name servers whose directory is gone, and with it the file that says they
/// run: netavark would start another one, which would find the port taken. A server that
/// the file names is not among them.
pub fn orphaned_servers(run_directory: &Path) -> Vec<Process> {
    let directory = NameFile::directory(run_directory);
    // The file is there as long as anything is served; then there is nothing more to look
    // at.
    if directory.join(PID).exists() {
        return Vec::new();
    }
    let own = sight::own_namespace().ok();
    let processes = sight::processes_named(&[SERVER]).into_iter();
    let servers = processes.filter(|fact| fact.namespace == own);
    let is_ours = |fact: &ProcessFact| {
        let path = directory.to_str();
        path.is_some_and(|path| fact.mentions(path)) && sight::is_of_our_user(fact.process.pid)
    };
    let servers = servers.filter_map(|fact| sight::process(fact.process.pid));
    servers.filter(is_ours).map(|fact| fact.process).collect()
}

/// Ends the [`orphaned_servers`], and waits until they have ended.
pub fn end_orphaned(run_directory: &Path) {
    for server in orphaned_servers(run_directory) {
        let pid = server.pid;
        log::info!("ending aardvark-dns (pid {pid}), whose files are gone");
        end(server);
    }
}

/// Ends a name server, and returns whether it has ended.
fn end(server: Process) -> bool {
    let _ = kill(Pid::from_raw(server.pid), Signal::SIGTERM);
    // A zombie shows no namespace.
    let is_it = |fact: ProcessFact| fact.process == server && fact.namespace.is_some();
    wait_until(PATIENCE, || !sight::process(server.pid).is_some_and(is_it))
}

/// Ends a name server that is in another network namespace than ours and has no names to
/// serve. One with names is left alone: they may be those of living containers.
pub fn end_stray(run_directory: &Path) {
    let server = stray(&NameFile::directory(run_directory));
    if let Some(server) = server.filter(|server| !end(*server)) {
        log::warn!(
            "aardvark-dns (pid {}) is in another network namespace, serves no names and does not \
             end: names will not resolve until it is killed",
            server.pid
        );
    }
}

/// Returns a name server that serves no names, in a namespace where nobody can ask it.
fn stray(directory: &Path) -> Option<Process> {
    let server = server(directory)?;
    let own = sight::process(i32::try_from(std::process::id()).ok()?)?;
    let is_elsewhere = server.namespace? != own.namespace?;
    let mut files = fs::read_dir(directory).ok()?;
    let is_idle = !files.any(|file| file.is_ok_and(|file| file.file_name() != PID));
    (is_elsewhere && is_idle).then_some(server.process)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_served_at_the_networks_own_gateways() {
        let run = tempfile::tempdir().unwrap();
        let network: Network = serde_json::from_value(json!({
            "name": "m1", "id": "i", "driver": "berth", "dns_enabled": true,
            "subnets": [{"subnet": "10.28.0.0/24", "gateway": "10.28.0.1"}],
        }))
        .unwrap();
        let right = || put_servers_right(run.path(), &network, false).unwrap();
        assert!(!right(), "there is no file");
        let path = run.path().join("aardvark-dns/m1");
        fs::create_dir(path.parent().unwrap()).unwrap();
        let names = "c1 10.27.0.9  web\nc2 10.28.0.2  db 9.9.9.9\n";
        fs::write(&path, format!("10.27.0.1 9.9.9.9\n{names}")).unwrap();
        let wrong = wrong_servers(run.path(), &network).unwrap().unwrap();
        assert_eq!(wrong.servers(), ["10.27.0.1".parse::<IpAddr>().unwrap()]);
        assert!(right());
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("10.28.0.1 9.9.9.9\n{names}"));
        assert!(!right(), "once is enough");
    }
}
