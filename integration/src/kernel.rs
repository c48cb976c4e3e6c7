//! What the kernel of a lab shows, independently of Podman and berth.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use crate::{Lab, Network};

/// An interface.
#[derive(Clone, Debug, Deserialize)]
pub struct Link {
    /// Its name.
    #[serde(rename = "ifname")]
    pub name: String,
    /// The bridge it is a port of.
    pub master: Option<String>,
    /// Its hardware address.
    #[serde(default, rename = "address")]
    pub mac: String,
    #[serde(default)]
    linkinfo: LinkInfo,
    #[serde(default)]
    addr_info: Vec<AddrInfo>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct LinkInfo {
    #[serde(default)]
    info_kind: String,
}

#[derive(Clone, Debug, Deserialize)]
struct AddrInfo {
    local: Option<IpAddr>,
    #[serde(default)]
    scope: String,
}

impl Link {
    /// Returns its kind, such as `veth`; empty for hardware and `lo`.
    pub fn kind(&self) -> &str {
        &self.linkinfo.info_kind
    }

    /// Returns its addresses of global scope, without those that the kernel assigned.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let global = self.addr_info.iter().filter(|info| info.scope == "global");
        global.filter_map(|info| info.local).collect()
    }
}

impl Lab {
    /// Returns the interfaces on the host's side.
    #[track_caller]
    pub fn links(&self) -> Vec<Link> {
        parse(
            &self
                .beside_bridges("ip")
                .args(["-json", "-details", "address"])
                .ok(),
        )
    }

    /// Returns the pid of a container's first process.
    #[track_caller]
    pub fn pid(&self, container: &str) -> u32 {
        let pid = self
            .podman(["inspect", "--format", "{{.State.Pid}}", container])
            .ok();
        match pid.parse() {
            Ok(pid) if pid != 0 => pid,
            _ => panic!("container {container} does not run: pid `{pid}`"),
        }
    }

    /// Returns a command to be run in a running container's network namespace, but
    /// with the lab's programs.
    #[track_caller]
    pub fn inside(&self, container: &str, program: &str) -> crate::Cmd<'_> {
        let target = format!("--target={}", self.pid(container));
        self.in_user_namespace("nsenter")
            .args([&target, "--net", program])
    }

    /// Returns the interfaces in a running container's namespace, without `lo`.
    #[track_caller]
    pub fn links_inside(&self, container: &str) -> Vec<Link> {
        let ip = self
            .inside(container, "ip")
            .args(["-json", "-details", "address"]);
        let mut links = parse(&ip.ok());
        links.retain(|link| link.name != "lo");
        links
    }

    /// Returns the addresses of an interface in a running container, in the
    /// kernel's order: IPv4 first.
    #[track_caller]
    pub fn addresses(&self, container: &str, interface: &str) -> Vec<IpAddr> {
        let links = self.links_inside(container);
        let link = links.iter().find(|link| link.name == interface);
        link.map(Link::addresses)
            .unwrap_or_else(|| panic!("{container} has no {interface}: {links:?}"))
    }

    /// Returns the firewall's rules as text.
    #[track_caller]
    pub fn ruleset(&self) -> String {
        self.beside_bridges("nft").args(["list", "ruleset"]).ok()
    }

    /// Returns the names that aardvark-dns answers on a network, each with its addresses.
    #[track_caller]
    pub fn dns_entries(&self, network: &str) -> BTreeMap<String, Vec<IpAddr>> {
        // CONTAINER-ID IPV4,… IPV6,… NAME,… [SERVER,…]; the first line is the server's own
        let script = r#"cd "$1" 2>/dev/null || exit 0
            for file in "$2" "$2%int"; do if [ -e "$file" ]; then sed 1d "$file"; fi; done"#;
        let directory = format!("{}/aardvark-dns", self.run_dir());
        let text = self
            .cmd("bash")
            .args(["-euc", script, "bash", &directory, network])
            .ok();
        let mut entries = BTreeMap::<_, Vec<_>>::new();
        for line in text.lines() {
            let fields: Vec<_> = line.split(' ').collect();
            let [_, v4, v6, names, ..] = fields[..] else {
                panic!("aardvark-dns has a line of another form: `{line}`");
            };
            let addresses = v4.split(',').chain(v6.split(','));
            let addresses: Vec<IpAddr> = addresses.filter_map(|a| a.parse().ok()).collect();
            for name in names.split(',') {
                entries
                    .entry(name.to_owned())
                    .or_default()
                    .extend(&addresses);
            }
        }
        entries
    }

    /// Returns the names of the namespace files without a process in the namespace.
    #[track_caller]
    pub fn empty_namespaces(&self) -> Vec<String> {
        let script = r#"
            inhabited=" $(stat --dereference --format %d:%i /proc/[0-9]*/ns/net 2>/dev/null | tr '\n' ' ')"
            for file in "$1"/*; do
              [ -e "$file" ] || continue
              case $inhabited in
              *" $(stat --format %d:%i "$file") "*) ;;
              *) echo "${file##*/}" ;;
              esac
            done"#;
        let bash = self.in_user_namespace("bash");
        let names = bash.args(["-euc", script, "bash", &self.netns_dir()]).ok();
        names.lines().map(str::to_owned).collect()
    }

    /// Returns the names of the containers whose published ports netavark remembers
    /// for a network.
    #[track_caller]
    pub fn remembered_ports(&self, network: &Network) -> Vec<String> {
        let mut names = self.names(&format!("{}/firewall/ports", self.run_dir()));
        names.retain(|name| name.starts_with(&network.id));
        names
    }
}

/// Parses an address of a test.
///
/// # Panics
/// If the text is not an address.
#[track_caller]
pub fn ip(address: &str) -> IpAddr {
    address
        .parse()
        .unwrap_or_else(|err| panic!("{address}: {err}"))
}

#[track_caller]
fn parse(text: &str) -> Vec<Link> {
    serde_json::from_str(text).unwrap_or_else(|err| panic!("{err} in `{text}`"))
}
