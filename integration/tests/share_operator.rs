//! `berth share` against a real etcd, on a host without containers, which is the test's own network
//! and mount namespaces, with a bridge and neighbours on it. The test plays the other hosts.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use berth_integration::etcd::{Cluster, endpoint};
use berth_integration::executable;
use berth_integration::neighbour::{Neighbour, run};
use berth_integration::shared::SharedHost;
use berth_share::etcd::{Etcd, Times};
use serde_json::{Value, json};

/// The host on which the commands run. Its `/var/lib/berth` is a directory of the test.
struct Site {
    cluster: Cluster,
    directory: PathBuf,
}

/// How a command ended.
struct Told {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Site {
    fn new() -> Self {
        let cluster = Cluster::start(1);
        run("ip link add lan type bridge; ip link set lan up");
        let directory = cluster.directory().join("site");
        for name in ["lib", "networks", "bin", "run"] {
            fs::create_dir_all(directory.join(name)).unwrap();
        }
        let site = Self { cluster, directory };
        // It is never run.
        site.write("bin/netavark", "#!/bin/sh\nexit 1\n");
        run(&format!("chmod 755 {}", site.path("bin/netavark")));
        site.write(
            "containers.conf",
            &format!(
                "[network]\nnetwork_config_dir = {:?}\n[engine]\nhelper_binaries_dir = [{:?}]\n",
                site.path("networks"),
                site.path("bin")
            ),
        );
        site.configure("", &["lan"]);
        site
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.join(name), text).unwrap();
    }

    /// Describes shares in berth.conf, all with the same etcd.
    fn configure(&self, more: &str, shares: &[&str]) {
        let files = self.cluster.certificates("client");
        let section = |share: &&str| {
            format!(
                "[share.{share}]\nhost = 'alpha'\nendpoints = ['https://{}']\nca = {:?}\n\
                 certificate = {:?}\nkey = {:?}\n{more}\n",
                endpoint(0),
                files.ca,
                files.certificate,
                files.key
            )
        };
        let text: String = shares.iter().map(section).collect();
        self.write("berth.conf", &text);
    }

    /// Makes the host's network in the share, on the bridge.
    fn make_network(&self) {
        let network = json!({
            "name": "lan", "id": "1".repeat(64), "driver": "berth", "network_interface": "lan",
            "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.254"}],
            "options": {"ipam_share": "lan", "mode": "unmanaged"},
            "ipam_options": {"driver": "berth"},
        });
        self.write("networks/lan.json", &network.to_string());
    }

    fn berth(&self, words: &str) -> Told {
        let command = format!(
            "mount --bind {} /var/lib; exec {} share {words}",
            self.path("lib"),
            executable("berth").display()
        );
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-ec", &command])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CONTAINERS_CONF", self.path("containers.conf"))
            .env("BERTH_CONF", self.path("berth.conf"))
            .env("BERTH_STATE_DIR", self.path("run"))
            .output()
            .unwrap();
        Told {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn ok(&self, words: &str) -> String {
        let Told {
            code,
            stdout,
            stderr,
        } = self.berth(words);
        assert_eq!(code, 0, "berth share {words}: {stdout}{stderr}");
        stdout
    }

    #[track_caller]
    fn fails(&self, words: &str, expected_code: i32, expected: &str) {
        let Told { code, stderr, .. } = self.berth(words);
        let told = format!("berth share {words}: {stderr}");
        assert!(code == expected_code && stderr.contains(expected), "{told}");
    }

    #[track_caller]
    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.berth(&format!("{words} --json")).stdout).unwrap()
    }

    fn host(&self, name: &str) -> SharedHost {
        SharedHost::new(self.cluster.directory(), name, 24)
    }

    fn client(&self) -> Etcd {
        let mut etcd = self.cluster.client(0, Times::default(), None);
        etcd.begin(Times::default().total);
        etcd
    }

    /// Lets a host's lease in etcd expire.
    fn silence(&self, host: &SharedHost) {
        let mut etcd = self.client();
        let id = host
            .with(&mut etcd, |member| Ok(member.host().clone()))
            .unwrap();
        let live = String::from_utf8(host.keys.live(&id)).unwrap();
        self.cluster.etcdctl(0, &["del", &live]).unwrap();
    }
}

#[test]
fn a_share_shows_its_hosts_and_this_one_joins() {
    let mut site = Site::new();
    let unused = site.json("status");
    assert_eq!(unused[0]["state"], "unused");
    assert_eq!(
        site.ok("hosts").trim_end(),
        "HOST ID  NAME  STATE  ADDRESSES  OWN"
    );
    let bravo = site.host("bravo");
    let claim = bravo.claim(&mut site.client(), "web").unwrap();
    let told = site.ok("rejoin");
    assert!(
        told.starts_with("this host takes part in share lan as a new host, "),
        "{told}"
    );
    let hosts = site.json("hosts");
    let shown = |host: &Value| {
        let Value::Array(addresses) = &host["addresses"] else {
            panic!("{host}");
        };
        (
            host["name"].clone(),
            host["state"].clone(),
            host["own"].clone(),
            addresses.clone(),
        )
    };
    let address = json!(claim.address.to_string());
    assert_eq!(
        [shown(&hosts[0]), shown(&hosts[1])],
        [
            (json!("alpha"), json!("live"), json!(true), vec![]),
            (json!("bravo"), json!("live"), json!(false), vec![address]),
        ]
    );
    let table = site.ok("status");
    let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["lan", "open", "2", "2", "1", "0", "10.0.0.0/24"]);
    // If it rejoined as a new host, its old identity would block the addresses that it has.
    let id = site.json("status")[0]["host"].clone();
    for verb in ["rejoin", "rejoin --original"] {
        let told = site.json(verb);
        assert_eq!(told["host"], id);
        assert_eq!(told["has_changed"], false);
    }

    site.configure("", &["lan", "dmz"]);
    site.fails(
        "hosts",
        2,
        "several shares: dmz, lan; say which one with --share",
    );
    assert_eq!(site.json("hosts --share lan").as_array().unwrap().len(), 2);
    site.fails(
        "hosts --share home",
        1,
        "share home is not configured on this host",
    );
    site.configure("", &[]);
    site.fails("hosts", 1, "no share is configured on this host");

    site.configure("", &["lan"]);
    site.cluster.kill(0);
    let start = Instant::now();
    let Told {
        code,
        stdout,
        stderr,
    } = site.berth("status");
    assert!(
        code == 1 && stdout.contains("unreachable"),
        "{stdout}{stderr}"
    );
    assert_eq!(stderr.matches("share lan").count(), 1, "{stderr}");
    assert!(start.elapsed() < Duration::from_secs(6));
    site.fails("hosts", 1, "share lan: ");
}

#[test]
fn a_host_is_evicted_only_if_the_link_says_that_it_is_gone() {
    let site = Site::new();
    let bravo = site.host("bravo");
    let claim = bravo.claim(&mut site.client(), "web").unwrap();
    site.ok("rejoin");
    site.fails(
        "evict bravo",
        1,
        "host bravo is not evicted: it reported in lately",
    );
    site.fails("evict alpha", 1, "a host cannot evict itself");
    site.fails("evict charlie", 1, "the share has no host charlie");
    site.silence(&bravo);
    assert_eq!(site.json("hosts")[1]["state"], "silent");
    site.fails("evict bravo", 1, "this host has no network in share lan");
    site.make_network();
    site.fails(
        "evict bravo --network web",
        1,
        "no network web in share lan",
    );

    // First a bridge that leads nowhere, then one on which there is nothing.
    site.fails("evict bravo", 1, "the link cannot be probed from this host");
    run(
        "ip link add out type veth peer name far; ip link set out master lan up;
         ip link set far up",
    );
    site.fails("evict bravo", 1, "silence proves nothing there");
    let _gateway = Neighbour::on("lan", &["10.0.0.254/24"]);
    let web = Neighbour::on("lan", &[&format!("{}/24", claim.address)]);
    site.fails(
        "evict bravo",
        1,
        &format!("{} answers on the link", claim.address),
    );
    assert_eq!(
        site.json("hosts")[1]["state"],
        "silent",
        "nothing was taken from it"
    );
    drop(web);
    let evicted = site.json("evict bravo");
    assert_eq!(evicted["name"], "bravo");
    assert_eq!(evicted["addresses"], json!([claim.address.to_string()]));
    let hosts = site.json("hosts");
    assert_eq!(
        (&hosts[1]["state"], &hosts[1]["addresses"]),
        (&json!("evicted"), &json!([]))
    );
    // Evicting it once more does no harm.
    let told = site.ok("evict bravo");
    assert!(told.trim_end().ends_with("; it had no addresses"), "{told}");
    let heir = site.host("charlie");
    heir.claim_static(&mut site.client(), "heir", claim.address)
        .unwrap();
}

#[test]
fn after_a_restore_a_person_accepts() {
    let mut site = Site::new();
    let (bravo, charlie) = (site.host("bravo"), site.host("charlie"));
    charlie.claim(&mut site.client(), "early").unwrap();
    let told = site.ok("accept");
    assert!(told.starts_with("share lan is not suspended"), "{told}");
    let backup = site.cluster.back_up(0);
    bravo.claim(&mut site.client(), "web").unwrap();
    site.cluster.restore(&backup);
    // bravo knows more than the backup.
    bravo.claim(&mut site.client(), "late").unwrap_err();
    let Told {
        code,
        stdout,
        stderr,
    } = site.berth("status");
    assert!(
        code == 1 && stdout.contains("suspended"),
        "{stdout}{stderr}"
    );
    let missing = stderr.split("have not put their leases back: ").nth(1);
    let missing = missing.unwrap_or_else(|| panic!("{stderr}"));
    assert!(
        missing.contains("bravo") && missing.contains("charlie"),
        "{stderr}"
    );
    site.fails("accept", 1, "these hosts have not put their leases back: ");
    site.fails("accept --without nobody", 1, "the share has no host nobody");
    let told = site.ok("accept --without bravo charlie");
    assert!(
        told.starts_with("share lan takes new claims again"),
        "{told}"
    );
    assert_eq!(site.json("status")[0]["state"], "open");
    bravo.claim(&mut site.client(), "late").unwrap();
}
