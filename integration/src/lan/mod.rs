//! Three machines on one LAN: each is a lab with a node of etcd beside it, and the containers of
//! all labs reach each other.
//!
//! ```text
//! the switch, a network namespace:   bridge lan (with the gateway)      bridge etcd
//!                                      │       │       │                 │    │    │
//! a lab each, with its own Podman:   uplink  uplink  uplink            etcd0 …
//!                                      └ a port of lan0, or the parent of macvlans
//! ```
//!
//! A host is cut off where its cable meets the switch, so that it finds out as a real host does:
//! nothing answers any more. Its containers keep running.

mod look;
mod storm;

pub use storm::Storm;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use self::look::Look;
use crate::etcd::{Cluster, Home};
use crate::{Cmd, Driver, Lab, Network};

/// The LAN's subnet.
pub const SUBNET: &str = "10.77.0.0/24";
/// The gateway's address, which answers even if no other does.
pub const GATEWAY: &str = "10.77.0.1";
/// The hosts' names, in order.
pub const NAMES: [&str; 3] = ["a", "b", "c"];
/// The name of the network on the LAN, on each host, and of the share.
pub const LAN: &str = "lan";

/// A killed node finds what it wrote in the kernel's cache. So it need not wait for the disk,
/// which may be slow because others keep it busy.
const NODE: [&str; 1] = ["--unsafe-no-fsync"];

/// Runs until its standard input ends.
const SWITCH: &str = r#"
ip link set lo up
for bridge in lan etcd; do
  ip link add name $bridge type bridge
  ip link set $bridge up
done
ip address add "$1" dev lan
echo ready
read -r _ || true"#;

/// How containers are attached to the LAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To a bridge that the lab made and that Podman leaves alone.
    Bridge,
    /// With a macvlan interface of their own on top of the host's.
    Macvlan,
}

/// The two networks that hosts are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// The network of the containers.
    Lan,
    /// The network over which berth and the etcd nodes reach the nodes.
    Etcd,
}

/// Hosts, their nodes, and what is between them. Everything ends with this value.
pub struct Lan {
    hosts: Vec<Lab>,
    /// A node for each host.
    pub cluster: Cluster,
    switch: Switch,
    kind: Kind,
}

impl Lan {
    /// Starts three hosts that have nothing but the LAN, their names and what berth needs to
    /// know about etcd.
    ///
    /// # Panics
    /// If a lab cannot be started; the message says what to do.
    #[track_caller]
    pub fn start(kind: Kind) -> Self {
        Self::of(NAMES.len(), kind)
    }

    /// Starts `count` hosts, with as many nodes.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[track_caller]
    pub fn of(count: usize, kind: Kind) -> Self {
        let labs = thread::scope(|scope| {
            let started = (0..count).map(|_| scope.spawn(Lab::start));
            let started: Vec<_> = started.collect();
            let labs = started.into_iter().map(|lab| {
                lab.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            labs.collect::<Vec<_>>()
        });
        let switch = Switch::start();
        for (number, lab) in labs.iter().enumerate() {
            switch.connect(number, lab);
            set_up(number, lab, kind);
        }
        let homes = labs.iter().enumerate();
        let homes = homes.map(|(number, lab)| Home::inside(lab.init(), &etcd_address(number)));
        let cluster = Cluster::start_at(homes.collect(), &NODE);
        let lan = Self {
            hosts: labs,
            cluster,
            switch,
            kind,
        };
        lan.hosts
            .iter()
            .for_each(|lab| lan.configure(lab, "client", ""));
        lan
    }

    /// Returns the hosts `a`, `b` and `c`.
    ///
    /// # Panics
    /// If the LAN has fewer.
    #[track_caller]
    pub fn hosts(&self) -> [&Lab; 3] {
        [&self.hosts[0], &self.hosts[1], &self.hosts[2]]
    }

    /// Returns a host by its place in [`NAMES`].
    pub fn host(&self, number: usize) -> &Lab {
        &self.hosts[number]
    }

    /// Writes a host's berth.conf: the share, with the certificate of this name, and more lines
    /// for the share's table or to follow it.
    #[track_caller]
    pub fn configure(&self, lab: &Lab, certificate: &str, lines: &str) {
        let own = self.cluster.certificates(certificate);
        for (name, path) in [
            ("ca.pem", own.ca),
            ("client.pem", own.certificate),
            ("client.key", own.key),
        ] {
            let text = std::fs::read_to_string(&path);
            let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            lab.write(&format!("/etc/berth/{name}"), &text);
        }
        let urls = (0..self.hosts.len()).map(|number| {
            let address = etcd_address(number);
            format!("https://{address}:2379")
        });
        let urls: Vec<_> = urls.collect();
        lab.write(
            "/etc/containers/berth.conf",
            &format!(
                "[share.{LAN}]\n\
                 endpoints = {urls:?}\n\
                 ca = \"/etc/berth/ca.pem\"\n\
                 certificate = \"/etc/berth/client.pem\"\n\
                 key = \"/etc/berth/client.key\"\n{lines}"
            ),
        );
    }

    /// Makes the network on the LAN on one host: Podman's own ([`Driver::Bridge`]), or berth's,
    /// which is in the share.
    #[track_caller]
    pub fn network(&self, lab: &Lab, driver: Driver, options: &[&str]) -> Network {
        self.create(lab, driver, options).ok();
        lab.inspect_network(LAN)
    }

    /// Makes berth's network on the LAN on every host.
    #[track_caller]
    pub fn share(&self, options: &[&str]) -> Vec<Network> {
        let made = self.hosts.iter();
        made.map(|lab| self.network(lab, Driver::Berth, options))
            .collect()
    }

    /// Returns the command that makes the network on the LAN.
    pub fn create<'lab>(&self, lab: &'lab Lab, driver: Driver, options: &[&str]) -> Cmd<'lab> {
        let (plumbing, link) = match self.kind {
            Kind::Bridge => ("bridge", "lan0"),
            Kind::Macvlan => ("macvlan", "uplink"),
        };
        // A name server would listen at the gateway, which is another machine.
        let create = lab.podman(["network", "create", "--disable-dns", "--subnet", SUBNET]);
        let create = create.args(["--interface-name", link]);
        let create = match self.kind {
            Kind::Bridge => create.args(["--opt", "mode=unmanaged"]),
            Kind::Macvlan => create,
        };
        let create = match driver {
            Driver::Bridge | Driver::HostWide => create.args(["--driver", plumbing]),
            Driver::Berth => create
                .args(["--driver", "berth"])
                .args(["--opt", &format!("driver={plumbing}")])
                .args(["--opt", &format!("ipam_share={LAN}")]),
        };
        create.args(options).arg(LAN)
    }

    /// Unplugs a host's cable from the switch.
    #[track_caller]
    pub fn unplug(&self, number: usize, wire: Wire) {
        self.switch.set(number, wire, "down");
    }

    /// Plugs a host's cable in again.
    #[track_caller]
    pub fn plug(&self, number: usize, wire: Wire) {
        self.switch.set(number, wire, "up");
    }

    /// Returns the addresses that several inhabited namespaces have, on any hosts, one line
    /// each. Only what two looks show counts, as in [`Lab::duplicates`].
    #[track_caller]
    pub fn duplicates(&self) -> Vec<String> {
        Look::take(&self.hosts).duplicates(&self.hosts)
    }

    /// Returns the keys of the claimed addresses in the share, read from a node that is not cut
    /// off.
    ///
    /// # Panics
    /// If no node answers.
    #[track_caller]
    pub fn keys(&self) -> Vec<String> {
        let prefix = format!("/berth/v1/{LAN}/a/");
        let get = ["get", "--prefix", "--keys-only", &prefix];
        let told = (0..self.hosts.len()).find_map(|node| self.cluster.etcdctl(node, &get));
        let told = told.unwrap_or_else(|| panic!("no node of etcd answers"));
        let keys = told.lines().filter(|line| !line.is_empty());
        keys.map(str::to_owned).collect()
    }
}

impl Lab {
    /// Returns whether an address answers a container within a second.
    ///
    /// # Panics
    /// If it cannot be asked.
    #[track_caller]
    pub fn reaches(&self, container: &str, address: &str) -> bool {
        let ping = ["-q", "-c1", "-W1", address];
        let asked = self.inside(container, "ping").args(ping).run();
        let is_asked = asked.stdout.contains("1 packets transmitted");
        assert!(is_asked, "nothing was sent:\n{asked}");
        asked.status.success()
    }
}

/// What is between the hosts.
struct Switch {
    process: Child,
    lifeline: Option<ChildStdin>,
}

impl Switch {
    #[track_caller]
    fn start() -> Self {
        let gateway = format!("{GATEWAY}/24");
        let mut process = Command::new("unshare")
            .args(["--net", "--", "bash", "-euc", SWITCH, "bash", &gateway])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to run unshare: {error}"));
        let lifeline = process.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        assert_eq!(line, "ready\n", "the switch has not started");
        Self { process, lifeline }
    }

    /// Connects a host with a cable of each wire.
    #[track_caller]
    fn connect(&self, number: usize, lab: &Lab) {
        let init = lab.init().to_string();
        for (wire, bridge, end) in [(Wire::Lan, "lan", "uplink"), (Wire::Etcd, "etcd", "etcd0")] {
            let port = port(number, wire);
            let add = ["link", "add", &port, "type", "veth", "peer", "name", end];
            self.run(&[&add[..], &["netns", &init]].concat());
            self.run(&["link", "set", &port, "master", bridge, "up"]);
        }
    }

    /// Takes the end of a host's cable `down` or `up`.
    #[track_caller]
    fn set(&self, number: usize, wire: Wire, state: &str) {
        self.run(&["link", "set", &port(number, wire), state]);
    }

    #[track_caller]
    fn run(&self, ip: &[&str]) {
        let net = format!("--net=/proc/{}/ns/net", self.process.id());
        let ran = Command::new("nsenter")
            .args([&net, "--", "ip"])
            .args(ip)
            .output()
            .unwrap_or_else(|error| panic!("failed to run nsenter: {error}"));
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "ip {}: {told}", ip.join(" "));
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = self.process.wait();
    }
}

/// Makes a lab a machine distinct from the others, with both wires.
#[track_caller]
fn set_up(number: usize, lab: &Lab, kind: Kind) {
    let (name, address) = (NAMES[number], etcd_address(number));
    lab.write("/etc/machine-id", &format!("{:032x}\n", number + 1));
    lab.sh(&format!(
        "echo {name} >/proc/sys/kernel/hostname
        ip address add {address}/24 dev etcd0
        ip link set etcd0 up
        ip link set uplink up"
    ));
    match kind {
        Kind::Bridge => {
            lab.sh("ip link add name lan0 type bridge
                ip link set uplink master lan0
                ip link set lan0 up");
        }
        Kind::Macvlan => {
            let probe = ["link", "add", "probe", "link", "uplink", "type", "macvlan"];
            let probe = lab.cmd("ip").args(probe).run();
            assert!(
                probe.status.success(),
                "this needs the kernel's module macvlan: run `modprobe macvlan` on the host, or \
                 boot a kernel that has it:\n{probe}"
            );
            lab.cmd("ip").args(["link", "delete", "probe"]).ok();
        }
    }
}

/// Returns the name of a host's cable at the switch.
fn port(number: usize, wire: Wire) -> String {
    let wire = match wire {
        Wire::Lan => "lan",
        Wire::Etcd => "etcd",
    };
    format!("{wire}-{}", NAMES[number])
}

/// Returns the address of a host's node.
fn etcd_address(number: usize) -> String {
    format!("10.9.0.{}", number + 1)
}
