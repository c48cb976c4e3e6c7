//! An etcd cluster, with certificates of an authority of its own. It runs on loopback in a network
//! namespace of its own, or with a node in each of several namespaces.

mod certificates;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use berth_share::etcd::{Certificates, Endpoint, Etcd, Times};
use berth_share::files::Breaker;
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use tempfile::TempDir;

use self::certificates::write_certificates;
use crate::lab::{prepared, profile};
use crate::wait_until;

/// How long nodes may take to find a leader. Usually that takes a second or two.
const START: Duration = Duration::from_secs(30);

/// etcd nodes that end with this value, or with the thread that started them.
pub struct Cluster {
    directory: TempDir,
    nodes: Vec<Node>,
    options: Vec<String>,
}

struct Node {
    home: Home,
    process: Option<Child>,
}

/// Where a node runs.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    address: String,
    client_port: usize,
    peer_port: usize,
    /// A process in the node's network namespace; `None` if that is the starting thread's.
    namespace: Option<u32>,
}

impl Home {
    /// Returns the home of the node with this number on loopback.
    fn on_loopback(number: usize) -> Self {
        Self {
            address: "127.0.0.1".to_owned(),
            client_port: 2370 + number,
            peer_port: 2390 + number,
            namespace: None,
        }
    }

    /// Returns a home with etcd's usual ports, at this address in a process' network namespace.
    pub(crate) fn inside(process: u32, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            client_port: 2379,
            peer_port: 2380,
            namespace: Some(process),
        }
    }

    /// Returns where it listens for clients.
    pub(crate) fn client_url(&self) -> String {
        format!("https://{}:{}", self.address, self.client_port)
    }

    fn peer_url(&self) -> String {
        format!("https://{}:{}", self.address, self.peer_port)
    }

    /// Returns a command that runs a program in the node's namespace.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(process) = self.namespace else {
            return Command::new(program);
        };
        let mut nsenter = Command::new("nsenter");
        nsenter
            .arg(format!("--net=/proc/{process}/ns/net"))
            .arg("--")
            .arg(program);
        nsenter
    }
}

impl Cluster {
    /// Starts this many nodes, and waits for their leader. From then on this thread is in a
    /// network namespace of its own, with nothing but loopback.
    ///
    /// # Panics
    /// If etcd is missing (the message says what to do), or does not start.
    #[track_caller]
    pub fn start(nodes: usize) -> Self {
        Self::start_with(nodes, &[])
    }

    /// As [`start`](Self::start), with further options for each node.
    ///
    /// # Panics
    /// As `start`.
    #[track_caller]
    pub fn start_with(nodes: usize, options: &[&str]) -> Self {
        unshare(CloneFlags::CLONE_NEWNET)
            .unwrap_or_else(|error| panic!("no network namespace (are you root?): {error}"));
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.is_ok_and(|status| status.success()), "ip link set lo up");
        Self::start_at((0..nodes).map(Home::on_loopback).collect(), options)
    }

    /// Starts a node in each home, and waits for their leader.
    #[track_caller]
    pub(crate) fn start_at(homes: Vec<Home>, options: &[&str]) -> Self {
        assert!(
            program("etcd").exists(),
            "{} is missing: run `integration/lab/prepare` as root, or `make test`",
            program("etcd").display()
        );
        let directory = tempfile::tempdir_in(profile())
            .unwrap_or_else(|error| panic!("no directory for etcd: {error}"));
        let servers = homes.iter().map(|home| home.address.clone()).collect();
        write_certificates(directory.path(), servers);
        let node = |home| Node {
            home,
            process: None,
        };
        let mut cluster = Self {
            directory,
            nodes: homes.into_iter().map(node).collect(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        (0..cluster.nodes.len()).for_each(|node| cluster.start_node(node, "new"));
        wait_until("a leader of etcd", START, || cluster.leader());
        cluster
    }

    fn start_node(&mut self, number: usize, state: &str) {
        let home = &self.nodes[number].home;
        let name = format!("n{number}");
        let (client, peer, cluster) = (home.client_url(), home.peer_url(), self.members());
        let file = |name: &str| self.file(name).display().to_string();
        let log = fs::File::create(self.file(&format!("{name}.log")))
            .unwrap_or_else(|error| panic!("no log for etcd: {error}"));
        let etcd = home
            .command("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program("etcd"))
            .args(["--name", &name, "--data-dir", &file(&name)])
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &cluster])
            .args(["--initial-cluster-state", state])
            .args(["--client-cert-auth", "--trusted-ca-file", &file("ca.pem")])
            .args(["--cert-file", &file("server.pem")])
            .args(["--key-file", &file("server.key")])
            .arg("--peer-client-cert-auth")
            .args(["--peer-trusted-ca-file", &file("ca.pem")])
            .args(["--peer-cert-file", &file("server.pem")])
            .args(["--peer-key-file", &file("server.key")])
            .args(["--logger", "zap", "--log-level", "error"])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("failed to run etcd: {error}"));
        self.nodes[number].process = Some(etcd);
    }

    /// Returns all nodes in the format of etcd's option `--initial-cluster`.
    fn members(&self) -> String {
        let nodes = self.nodes.iter().enumerate();
        let nodes = nodes.map(|(number, node)| format!("n{number}={}", node.home.peer_url()));
        nodes.collect::<Vec<_>>().join(",")
    }

    /// Kills a node.
    pub fn kill(&mut self, node: usize) {
        if let Some(mut etcd) = self.nodes[node].process.take() {
            let _ = etcd.kill();
            let _ = etcd.wait();
        }
    }

    /// Starts a killed node again, with the data on its disk.
    pub fn revive(&mut self, node: usize) {
        self.start_node(node, "existing");
    }

    /// Writes a backup of etcd's data to a file.
    ///
    /// # Panics
    /// If etcdctl fails.
    #[track_caller]
    pub fn back_up(&self, node: usize) -> PathBuf {
        let file = self.file("backup");
        let saved = self.etcdctl(node, &["snapshot", "save", &file.display().to_string()]);
        assert!(saved.is_some(), "etcdctl snapshot save");
        file
    }

    /// Ends all nodes, and starts them with the data of a backup.
    ///
    /// # Panics
    /// If etcdctl fails.
    #[track_caller]
    pub fn restore(&mut self, backup: &Path) {
        (0..self.nodes.len()).for_each(|node| self.kill(node));
        for node in 0..self.nodes.len() {
            let data = self.file(&format!("n{node}"));
            let _ = fs::remove_dir_all(&data);
            let restored = Command::new(program("etcdctl"))
                .env("ETCDCTL_API", "3")
                .args(["snapshot", "restore"])
                .arg(backup)
                .args(["--name", &format!("n{node}")])
                .args(["--initial-cluster", &self.members()])
                .arg("--initial-advertise-peer-urls")
                .arg(self.nodes[node].home.peer_url())
                .arg("--data-dir")
                .arg(&data)
                .output();
            let restored = restored.unwrap_or_else(|error| panic!("etcdctl: {error}"));
            let told = String::from_utf8_lossy(&restored.stderr).into_owned();
            assert!(
                restored.status.success(),
                "etcdctl snapshot restore: {told}"
            );
            self.start_node(node, "existing");
        }
        wait_until("a leader of etcd", START, || self.leader());
    }

    /// Stops a node, without ending it, until [`resume`](Self::resume). It is silent, but its
    /// connections stay open.
    pub fn freeze(&self, node: usize) {
        self.signal(node, "STOP");
    }

    /// Lets a frozen node go on.
    pub fn resume(&self, node: usize) {
        self.signal(node, "CONT");
    }

    fn signal(&self, node: usize, signal: &str) {
        if let Some(etcd) = &self.nodes[node].process {
            let sent = Command::new("kill")
                .args(["-s", signal, &etcd.id().to_string()])
                .status();
            assert!(
                sent.is_ok_and(|status| status.success()),
                "kill -s {signal}"
            );
        }
    }

    /// Returns the leading node, if all running nodes agree on one.
    pub fn leader(&self) -> Option<usize> {
        let running = (0..self.nodes.len()).filter(|node| self.nodes[*node].process.is_some());
        let mut leaders = Vec::new();
        for node in running {
            let out = self.etcdctl(node, &["endpoint", "status", "-w", "json"])?;
            let status: Value = serde_json::from_str(&out).ok()?;
            let status = &status[0]["Status"];
            let (own, leader) = (&status["header"]["member_id"], &status["leader"]);
            leaders.push((node, own.clone(), leader.clone()));
        }
        let leader = leaders.first()?.2.clone();
        let agree = leaders.iter().all(|(_, _, theirs)| *theirs == leader);
        let found = leaders.iter().find(|(_, own, _)| *own == leader);
        found.filter(|_| agree).map(|(node, _, _)| *node)
    }

    /// Runs etcdctl against one node; `None` if it fails.
    pub fn etcdctl(&self, node: usize, arguments: &[&str]) -> Option<String> {
        let home = &self.nodes[node].home;
        let out = home
            .command(program("etcdctl"))
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", home.client_url()))
            .args(["--dial-timeout=1s", "--command-timeout=2s"])
            .arg(format!("--cacert={}", self.file("ca.pem").display()))
            .arg(format!("--cert={}", self.file("client.pem").display()))
            .arg(format!("--key={}", self.file("client.key").display()))
            .args(arguments)
            .output()
            .ok()?;
        out.status
            .success()
            .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Returns a client that asks this node first.
    ///
    /// # Panics
    /// If the certificates cannot be read.
    #[track_caller]
    pub fn client(&self, first: usize, times: Times, breaker: Option<Breaker>) -> Etcd {
        Etcd::new(
            self.endpoints(),
            Some(&self.certificates("client")),
            times,
            breaker,
            first,
        )
        .unwrap_or_else(|error| panic!("no client: {error}"))
    }

    /// Returns where the nodes listen for clients.
    ///
    /// # Panics
    /// Never: they are endpoints.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let urls = self.nodes.iter().map(|node| node.home.client_url());
        urls.map(|url| url.parse().unwrap_or_else(|error| panic!("{error}")))
            .collect()
    }

    /// Returns the certificates of this name: `client` is known to etcd, `stranger` is not.
    pub fn certificates(&self, name: &str) -> Certificates {
        Certificates {
            ca: self.file("ca.pem"),
            certificate: self.file(&format!("{name}.pem")),
            key: self.file(&format!("{name}.key")),
        }
    }

    /// Returns a directory that is removed with the cluster.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.kill(node));
    }
}

/// Returns where a node on loopback listens for clients.
///
/// # Panics
/// Never: it is an endpoint.
pub fn endpoint(node: usize) -> Endpoint {
    let text = Home::on_loopback(node).client_url();
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn program(name: &str) -> PathBuf {
    prepared().join(name)
}
