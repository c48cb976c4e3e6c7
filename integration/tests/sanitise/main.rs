//! `berth-migrate sanitise` and `inspect` beside a real Podman that keeps its own allocator: they
//! repair what the outage and similar failures leave, and touch nothing alive.

mod damage;
mod doubt;
mod ghosts;
mod leaks;
mod podmans;

use std::net::IpAddr;
use std::time::Duration;

use berth_integration::outage::Death;
use berth_integration::{Container, Driver, Lab, wait_until};
use serde_json::Value;

const ADDRESS: &str = "10.77.0.99";
const NET: &str = "10.77.0.0/24";
const SUBNET: [&str; 2] = ["--subnet", NET];
const LEAKED: &str = "requested ip address 10.77.0.99 is already allocated to container ID";
const BOUND: Duration = Duration::from_secs(20);

/// Returns a lab with a network of Podman's own.
fn lab() -> Lab {
    let lab = Lab::start();
    lab.network(Driver::Bridge, "n", &SUBNET);
    lab
}

fn web(lab: &Lab, name: &str, network: &str) -> Container {
    lab.container(name, &[network]).serving().start()
}

/// Returns the leases in a list of a report, each as address and reason.
fn leases(report: &Value, kind: &str) -> Vec<(String, String)> {
    let rows = report[kind].as_array().cloned().unwrap_or_default();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| (text(row, "address"), text(row, "why")))
        .collect()
}

fn addresses(report: &Value, kind: &str) -> Vec<String> {
    leases(report, kind).into_iter().map(|(a, _)| a).collect()
}

/// Asserts that the file has exactly what running containers have, and that Podman removes
/// all of them without complaint and leaves nothing on record.
#[track_caller]
fn all_is_well(lab: &Lab) {
    only_the_living_are_on_record(lab);
    let removed = lab.podman(["rm", "--all", "--force", "--time=0"]).run();
    assert!(removed.status.success(), "{removed}");
    assert_eq!(removed.stderr, "", "{removed}");
    assert_eq!(lab.claims(), [""; 0]);
}

#[track_caller]
fn only_the_living_are_on_record(lab: &Lab) {
    let ids = lab.podman(["ps", "--no-trunc", "--format={{.ID}}"]).ok();
    let mut expected = Vec::new();
    for id in ids.lines() {
        let all = lab.json(["inspect", id]);
        let networks = all[0]["NetworkSettings"]["Networks"].as_object();
        for (network, settings) in networks.into_iter().flatten() {
            for key in ["IPAddress", "GlobalIPv6Address"] {
                if let Some(address) = settings[key].as_str().filter(|text| !text.is_empty()) {
                    expected.push(format!("{network} {address} {id}"));
                }
            }
        }
    }
    expected.sort();
    let mut claims = lab.claims();
    claims.sort();
    assert_eq!(claims, expected);
}

/// Fetches a page again and again, whatever else happens.
struct Visitor<'a> {
    lab: &'a Lab,
    address: IpAddr,
}

impl<'a> Visitor<'a> {
    fn of(lab: &'a Lab, container: &Container) -> Self {
        let address = lab.reported(&container.name, "n")[0];
        let script = r#"
mkdir -p /tmp/visits
curl -sf -o /dev/null "http://$1/index.html"
(while [ -e /tmp/visits ]; do
  if curl -sf -m 2 -o /dev/null "http://$1/index.html"; then echo good; else echo bad; fi
done >"/tmp/visits.$1" 2>&1 &)"#;
        let address_text = address.to_string();
        wait_until("the first page", BOUND, || {
            let visit = lab.cmd("bash").args(["-euc", script, "bash"]);
            let outcome = visit.arg(&address_text).run();
            outcome.status.success().then_some(())
        });
        Self { lab, address }
    }

    /// Asserts that it got some pages, and missed none.
    fn has_missed_nothing(self) {
        let of = |word: &str| {
            let file = format!("/tmp/visits.{}", self.address);
            let count = self.lab.sh(&format!("grep -c {word} {file} || true"));
            count.parse::<usize>().expect("a number")
        };
        let so_far = of("good");
        wait_until("another visit", BOUND, || {
            (of("good") > so_far).then_some(())
        });
        assert_eq!(of("bad"), 0, "a page of {} was missed", self.address);
    }
}

/// Leaks an address: podman is killed before netavark runs, and the container is removed.
fn leak(lab: &Lab, name: &str, address: &str) {
    let run = lab.container(name, &["n"]).ip(address);
    run.dies(Death::PodmanBeforeNetavark);
    lab.remove(name);
}

/// Ends a container so that Podman still has to clean up after it.
fn leave_pending(lab: &Lab, name: &str) {
    leave_pending_of(lab, name, &[]);
}

fn leave_pending_of(lab: &Lab, name: &str, podman: &[&str]) {
    let inspect = ["inspect", "--format={{.State.Pid}}", name];
    let pid = lab.podman(podman).args(inspect).ok();
    // While this is mounted, the podman that conmon starts to clean up does nothing.
    lab.sh(&format!(
        "mount --bind /bin/true /usr/bin/podman; kill -9 {pid}
         while pgrep -x conmon -a | grep -q -- '-n {name} '; do sleep 0.02; done
         umount /usr/bin/podman"
    ));
}
