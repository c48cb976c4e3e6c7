//! Podman's API: a service that keeps its own copy of the networks, and programs that talk
//! to it as if it were Docker.

use std::time::Duration;

use berth_integration::{Driver, Lab, ip, wait_until};
use serde_json::{Value, json};

const SOCKET: &str = "/run/api.sock";
const BOUND: Duration = Duration::from_secs(30);
const FILE: &str = "/etc/containers/networks/n.json";

/// Starts a service, which ends with the lab, and waits until it answers.
#[track_caller]
fn serve(lab: &Lab, environment: &str) {
    lab.sh(&format!(
        "rm -f {SOCKET}; {environment} podman system service --time=0 unix://{SOCKET} \
         >/tmp/service 2>&1 &"
    ));
    wait_until("the service", BOUND, || {
        let ping = ["--silent", "--unix-socket", SOCKET, "http://d/_ping"];
        (lab.cmd("curl").args(ping).run().stdout == "OK").then_some(())
    });
}

/// Ends the service with SIGKILL, if it runs.
#[track_caller]
fn end_service(lab: &Lab) {
    lab.sh("kill -9 $(pgrep -f '[p]odman system service') || true");
}

/// Asks the service as Docker's client does; returns the status and the answer.
#[track_caller]
fn ask(lab: &Lab, method: &str, path: &str, body: &Value) -> (String, String) {
    let url = format!("http://d/v1.41{path}");
    let curl = lab.cmd("curl").args(["--silent", "--unix-socket", SOCKET]);
    let curl = curl.args(["--request", method, "--write-out", "\n%{http_code}", &url]);
    let curl = curl.args(["--header", "Content-Type: application/json", "--data", "@-"]);
    let text = curl.stdin(body.to_string()).run().stdout;
    let (text, status) = text.rsplit_once('\n').unwrap_or(("", &text));
    (status.to_owned(), text.to_owned())
}

#[track_caller]
fn must(lab: &Lab, method: &str, path: &str, body: &Value) {
    let (status, text) = ask(lab, method, path, body);
    assert!(status.starts_with('2'), "{method} {path}: {status} {text}");
}

#[track_caller]
fn create_network(lab: &Lab, name: &str, subnet: &str, bridge: &str) {
    let network = json!({
        "Name": name,
        "Driver": "bridge",
        "IPAM": {"Driver": "default", "Config": [{"Subnet": subnet}]},
        "Options": {"com.docker.network.bridge.name": bridge},
        "Labels": {"com.docker.compose.project": "project"},
    });
    must(lab, "POST", "/networks/create", &network);
}

/// Creates and starts a container at an address; returns the answer to its start.
#[track_caller]
fn start(lab: &Lab, name: &str, network: &str, address: &str) -> (String, String) {
    let endpoint = json!({
        "IPAMConfig": if address.is_empty() { Value::Null } else { json!({"IPv4Address": address}) },
        "Aliases": [format!("alias-{name}")],
    });
    let container = json!({
        "Image": "localhost/lab",
        "HostConfig": {"NetworkMode": network},
        "NetworkingConfig": {"EndpointsConfig": {network: endpoint}},
    });
    must(
        lab,
        "POST",
        &format!("/containers/create?name={name}"),
        &container,
    );
    ask(
        lab,
        "POST",
        &format!("/containers/{name}/start"),
        &Value::Null,
    )
}

#[track_caller]
fn remove(lab: &Lab, name: &str) {
    let path = format!("/containers/{name}");
    ask(lab, "POST", &format!("{path}/kill"), &Value::Null);
    ask(lab, "DELETE", &format!("{path}?force=1"), &Value::Null);
}

#[track_caller]
fn adopted(lab: &Lab, network: &str) {
    let format = "{{.IPAMOptions.driver}}";
    wait_until("the adoption", BOUND, || {
        let inspect = ["network", "inspect", "--format", format, network];
        (lab.podman(inspect).ok() == "berth").then_some(())
    });
}

#[test]
fn a_compose_project_by_dockers_api_has_all_it_has_with_podman() {
    let lab = Lab::start();
    lab.host_wide();
    serve(&lab, "");
    create_network(&lab, "project_net", "10.77.0.0/24", "br-project");
    create_network(&lab, "other_net", "10.78.0.0/24", "br-other");
    let started = |name, network, address| {
        let (status, text) = start(&lab, name, network, address);
        assert_eq!(status, "204", "{name}: {text}");
    };
    started("web", "project_net", "10.77.0.10");
    started("far", "other_net", "10.78.0.10");
    adopted(&lab, "project_net");
    adopted(&lab, "other_net");
    started("client", "project_net", "");
    assert_eq!(lab.addresses("web", "eth0"), [ip("10.77.0.10")]);
    let network = lab.inspect_network("project_net");
    assert_eq!(network.interface, "br-project");
    assert!(lab.links().iter().any(|link| link.name == "br-project"));
    for name in ["web", "alias-web"] {
        let found = lab.podman(["exec", "client", "nslookup", name]).ok();
        assert!(found.contains("10.77.0.10"), "{name}: {found}");
    }
    let ping = |address| {
        let ping = lab.inside("client", "ping");
        ping.args(["-c", "1", "-W", "2", address])
            .run()
            .status
            .success()
    };
    assert!(ping("10.77.0.10"), "its own network");
    assert!(!ping("10.78.0.10"), "another project's");
    for name in ["web", "client", "far"] {
        remove(&lab, name);
    }
    // The outage: the service dies between its allocation and the container's start.
    end_service(&lab);
    let script = "#!/bin/bash\ncase \" $* \" in *' setup '*) kill -9 $PPID; exit 1 ;; esac\n\
                  exec /usr/local/libexec/podman/netavark \"$@\"\n";
    let conf = lab.replace_netavark(script);
    serve(&lab, &format!("CONTAINERS_CONF_OVERRIDE={conf}"));
    assert_ne!(start(&lab, "web", "project_net", "10.77.0.10").0, "204");
    end_service(&lab);
    serve(&lab, "");
    remove(&lab, "web");
    started("web", "project_net", "10.77.0.10");
    remove(&lab, "web");
    // A running podman might still be about to use the namespace that the dead one made.
    end_service(&lab);
    lab.cmd("berth").args(["gc", "--now"]).ok();
    lab.assert_clean(&network);
    assert_eq!(lab.claims(), [""; 0]);
}

/// A service reads the networks again when their directory has changed. Here the directory
/// never seems to change, so the service keeps using its old copy, and berth must notice.
#[test]
fn a_service_with_an_old_copy_gives_no_address_twice() {
    let lab = Lab::start();
    let network = lab.network(Driver::HostWide, "n", &["--subnet", "10.77.0.0/24"]);
    lab.container("up", &["n"]).ip("10.77.0.2").start();
    serve(&lab, "");
    let old = "2001-01-01";
    let forge = || {
        lab.cmd("touch")
            .args(["-d", old, "/etc/containers/networks"])
            .ok()
    };
    let mut refused = 0;
    for (number, verb) in ["rollback", "adopt", "rollback", "adopt"]
        .iter()
        .enumerate()
    {
        // The service has the network as it is now.
        forge();
        ask(&lab, "GET", "/networks/n", &Value::Null);
        lab.migrate([verb, "n", "--yes"]).ok();
        forge();
        for (name, address) in [("fixed", "10.77.0.2"), ("free", ""), ("again", "")] {
            let name = format!("{name}{number}");
            let (status, text) = start(&lab, &name, "n", address);
            let is_old = text.contains("has just been moved to berth or back");
            assert!(
                status == "204" || is_old || !address.is_empty(),
                "{status} {text}"
            );
            assert!(
                status != "204" || address.is_empty(),
                "{name} got {address}"
            );
            refused += usize::from(is_old);
            assert_eq!(lab.duplicates(), [""; 0]);
        }
        let driver = lab.sh(&format!("cat {FILE}"));
        assert_eq!(
            driver.contains("\"driver\": \"berth\""),
            *verb == "adopt",
            "{driver}"
        );
    }
    assert!(
        refused >= 2,
        "the old copy was never used, so nothing is shown"
    );
    let mut addresses: Vec<_> = lab
        .sightings()
        .into_iter()
        .map(|seen| seen.address)
        .collect();
    let count = addresses.len();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), count, "{addresses:?}");
    end_service(&lab);
    lab.remove_all();
    lab.cmd("berth").args(["gc", "--now"]).ok();
    lab.assert_clean(&network);
    assert_eq!(lab.claims(), [""; 0]);
}
