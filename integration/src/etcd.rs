//! A cluster of etcd on loopback, in a network namespace of its own, with certificates of an
//! authority of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use berth_share::etcd::{Certificates, Endpoint, Etcd, Times};
use berth_share::files::Breaker;
use nix::sched::{CloneFlags, unshare};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{prepared, profile};
use crate::wait_until;

/// How long nodes may take to find a leader. Usually it is a second or two.
const START: Duration = Duration::from_secs(30);

/// etcd nodes that end with this value, or with the thread that started them.
pub struct Cluster {
    directory: TempDir,
    nodes: Vec<Option<Child>>,
    options: Vec<String>,
}

impl Cluster {
    /// Starts so many nodes, and waits for their leader. From here on this thread is in a
    /// network namespace of its own, with nothing but loopback.
    ///
    /// # Panics
    /// If etcd is missing, with what to do; if it does not start.
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
        assert!(
            program("etcd").exists(),
            "{} is missing: run `integration/lab/prepare` as root, or `make test`",
            program("etcd").display()
        );
        unshare(CloneFlags::CLONE_NEWNET)
            .unwrap_or_else(|error| panic!("no network namespace (are you root?): {error}"));
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.is_ok_and(|status| status.success()), "ip link set lo up");
        let directory = tempfile::tempdir_in(profile())
            .unwrap_or_else(|error| panic!("no directory for etcd: {error}"));
        write_certificates(directory.path());
        let mut cluster = Self {
            directory,
            nodes: (0..nodes).map(|_| None).collect(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        (0..nodes).for_each(|node| cluster.start_node(node, "new"));
        wait_until("a leader of etcd", START, || cluster.leader());
        cluster
    }

    fn start_node(&mut self, node: usize, state: &str) {
        let url = |port: usize| format!("https://127.0.0.1:{port}");
        let peer = |node: usize| url(2390 + node);
        let all = (0..self.nodes.len()).map(|node| format!("n{node}={}", peer(node)));
        let file = |name: &str| self.file(name).display().to_string();
        let (client, cluster) = (url(client_port(node)), all.collect::<Vec<_>>().join(","));
        let log = fs::File::create(self.file(&format!("n{node}.log")))
            .unwrap_or_else(|error| panic!("no log for etcd: {error}"));
        let etcd = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program("etcd"))
            .args([
                "--name",
                &format!("n{node}"),
                "--data-dir",
                &file(&format!("n{node}")),
            ])
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args(["--listen-peer-urls", &peer(node)])
            .args(["--initial-advertise-peer-urls", &peer(node)])
            .args([
                "--initial-cluster",
                &cluster,
                "--initial-cluster-state",
                state,
            ])
            .args(["--client-cert-auth", "--trusted-ca-file", &file("ca.pem")])
            .args([
                "--cert-file",
                &file("server.pem"),
                "--key-file",
                &file("server.key"),
            ])
            .args([
                "--peer-client-cert-auth",
                "--peer-trusted-ca-file",
                &file("ca.pem"),
            ])
            .args(["--peer-cert-file", &file("server.pem")])
            .args(["--peer-key-file", &file("server.key")])
            .args(["--logger", "zap", "--log-level", "error"])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("failed to run setpriv: {error}"));
        self.nodes[node] = Some(etcd);
    }

    /// Kills a node.
    pub fn kill(&mut self, node: usize) {
        if let Some(mut etcd) = self.nodes[node].take() {
            let _ = etcd.kill();
            let _ = etcd.wait();
        }
    }

    /// Starts a killed node again, with what it had on its disk.
    pub fn revive(&mut self, node: usize) {
        self.start_node(node, "existing");
    }

    /// Writes what etcd knows into a file.
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

    /// Ends all nodes, and starts them with what a backup has.
    ///
    /// # Panics
    /// If etcdctl fails.
    #[track_caller]
    pub fn restore(&mut self, backup: &Path) {
        let peer = |node: usize| format!("https://127.0.0.1:{}", 2390 + node);
        let all = (0..self.nodes.len()).map(|node| format!("n{node}={}", peer(node)));
        let all = all.collect::<Vec<_>>().join(",");
        (0..self.nodes.len()).for_each(|node| self.kill(node));
        for node in 0..self.nodes.len() {
            let data = self.file(&format!("n{node}"));
            let _ = fs::remove_dir_all(&data);
            let restored = Command::new(program("etcdctl"))
                .env("ETCDCTL_API", "3")
                .args(["snapshot", "restore"])
                .arg(backup)
                .args(["--name", &format!("n{node}"), "--initial-cluster", &all])
                .args(["--initial-advertise-peer-urls", &peer(node)])
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

    /// Stops a node, without ending it, until [`resume`](Self::resume): it is silent, but its
    /// connections stay.
    pub fn freeze(&self, node: usize) {
        self.signal(node, "STOP");
    }

    /// Lets a frozen node go on.
    pub fn resume(&self, node: usize) {
        self.signal(node, "CONT");
    }

    fn signal(&self, node: usize, signal: &str) {
        if let Some(etcd) = &self.nodes[node] {
            let sent = Command::new("kill")
                .args(["-s", signal, &etcd.id().to_string()])
                .status();
            assert!(
                sent.is_ok_and(|status| status.success()),
                "kill -s {signal}"
            );
        }
    }

    /// Returns the node that leads, if all that run agree on one.
    pub fn leader(&self) -> Option<usize> {
        let running = (0..self.nodes.len()).filter(|node| self.nodes[*node].is_some());
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
        let out = Command::new(program("etcdctl"))
            .env("ETCDCTL_API", "3")
            .arg(format!(
                "--endpoints=https://127.0.0.1:{}",
                client_port(node)
            ))
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

    /// Returns a client that begins with this node.
    ///
    /// # Panics
    /// If the certificates cannot be read.
    #[track_caller]
    pub fn client(&self, first: usize, times: Times, breaker: Option<Breaker>) -> Etcd {
        let endpoints = (0..self.nodes.len()).map(endpoint).collect();
        Etcd::new(
            endpoints,
            Some(&self.certificates("client")),
            times,
            breaker,
            first,
        )
        .unwrap_or_else(|error| panic!("no client: {error}"))
    }

    /// Returns the certificates of this name: `client` is known to etcd, `stranger` is not.
    pub fn certificates(&self, name: &str) -> Certificates {
        Certificates {
            ca: self.file("ca.pem"),
            certificate: self.file(&format!("{name}.pem")),
            key: self.file(&format!("{name}.key")),
        }
    }

    /// Returns a directory that goes with the cluster.
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

/// Returns where a node listens for clients.
///
/// # Panics
/// Never: it is an endpoint.
pub fn endpoint(node: usize) -> Endpoint {
    let text = format!("https://127.0.0.1:{}", client_port(node));
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn client_port(node: usize) -> usize {
    2370 + node
}

fn program(name: &str) -> PathBuf {
    prepared().join(name)
}

/// Writes an authority, and what it has signed: `server` and `client`. `stranger` is signed by
/// another authority.
fn write_certificates(directory: &Path) {
    let authority = authority();
    for (name, issuer) in [
        ("server", &authority),
        ("client", &authority),
        ("stranger", &self::authority()),
    ] {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .unwrap_or_else(|error| panic!("{error}"));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().unwrap_or_else(|error| panic!("{error}"));
        let signed = params.signed_by(&key, issuer.1.as_ref());
        let signed = signed.unwrap_or_else(|error| panic!("{error}"));
        write(directory, &format!("{name}.pem"), &signed.pem());
        write(directory, &format!("{name}.key"), &key.serialize_pem());
    }
    write(directory, "ca.pem", &authority.0);
}

type Authority = (String, Box<Issuer<'static, KeyPair>>);

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap_or_else(|error| panic!("{error}"));
    let own = params
        .self_signed(&key)
        .unwrap_or_else(|error| panic!("{error}"));
    (own.pem(), Box::new(Issuer::new(params, key)))
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
