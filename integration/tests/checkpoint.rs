//! The network side of checkpoint and restore: a container comes back with its address, under its
//! own name or another.
//!
//! CRIU freezes containers with cgroups, and a lab has no cgroups of its own. So the runtime
//! only pretends: a checkpoint kills the processes, and a restore starts them again. Everything
//! else that Podman does, including the network, is real.

use berth_integration::{Driver, Lab, Network, ip, with_each_driver};

with_each_driver!(
    a_restored_container_has_its_address_again,
    an_imported_container_has_the_address_of_the_exported_one,
    a_copy_under_another_name_takes_nothing_of_the_original,
);

const PORTS: [&str; 2] = ["--publish", "8080:80"];

const RUNTIME: &str = r#"#!/bin/bash
verb= bundle= pidfile= image=
words=("$@")
for ((i = 0; i < $#; i++)); do
  case ${words[i]} in
  checkpoint | restore) verb=${words[i]} ;;
  --bundle) bundle=${words[i + 1]} ;;
  --pid-file) pidfile=${words[i + 1]} ;;
  --image-path) image=${words[i + 1]} ;;
  esac
done
id=${words[-1]}
case $verb in
checkpoint)
  mkdir -p "$image"
  touch "$image"/inventory.img "${image%/*}"/{dump.log,stats-dump}
  case " $* " in *" --leave-running "*) exit 0 ;; esac
  exec crun kill "$id" KILL
  ;;
restore)
  crun delete --force "$id" 2>/dev/null
  crun create --bundle "$bundle" --pid-file "$pidfile" "$id" && exec crun start "$id"
  ;;
*) exec crun "$@" ;;
esac
"#;

/// A lab with that runtime, a network, and two containers on it.
fn lab(driver: Driver) -> (Lab, Network) {
    let lab = Lab::start();
    lab.write_executable("/opt/runtime/crun", RUNTIME);
    lab.write(
        "/etc/containers/containers.conf.d/50-runtime.conf",
        "[engine]\nruntime = \"crun\"\n[engine.runtimes]\ncrun = [\"/opt/runtime/crun\"]\n",
    );
    let network = lab.network(driver, "n", &["--subnet", "10.77.0.0/24"]);
    lab.container("bystander", &["n"]).start();
    let run = lab.container("c", &["n"]);
    run.option(PORTS[0], PORTS[1]).start();
    assert_eq!(lab.addresses("c", "eth0"), [ip("10.77.0.3")]);
    (lab, network)
}

/// Asserts that the kernel, DNS and the firewall show a container with this address, and that
/// nothing is left once the containers are removed.
#[track_caller]
fn has_all_and_gives_it_back(lab: &Lab, network: &Network, container: &str, address: &str) {
    assert_eq!(lab.addresses(container, "eth0"), [ip(address)]);
    assert_eq!(lab.dns_entries("n")[container], [ip(address)]);
    let rule = format!("dnat ip to {address}:80");
    assert!(lab.ruleset().contains(&rule), "{rule} is not there");
    // A collection does not look at Podman's own networks.
    let said = lab.cmd("berth").args(["gc", "--now"]).ok();
    assert!(said.contains("0 reclaimed, 0 cleared away"), "{said}");
    assert_eq!(lab.addresses(container, "eth0"), [ip(address)]);
    lab.podman(["rm", "--all", "--force", "--time=0"]).ok();
    lab.assert_clean(network);
}

fn a_restored_container_has_its_address_again(driver: Driver) {
    let (lab, network) = lab(driver);
    lab.podman(["container", "checkpoint", "c"]).ok();
    assert!(!lab.dns_entries("n").contains_key("c"));
    if driver != Driver::Bridge {
        lab.cmd("berth").arg("gc").ok();
        assert_eq!(lab.leases(&network).of(&network).len(), 1);
        // The address is kept for the container.
        lab.container("other", &["n"]).start();
        assert_eq!(lab.addresses("other", "eth0"), [ip("10.77.0.4")]);
    }
    lab.podman(["container", "restore", "c"]).ok();
    has_all_and_gives_it_back(&lab, &network, "c", "10.77.0.3");
}

fn an_imported_container_has_the_address_of_the_exported_one(driver: Driver) {
    let (lab, network) = lab(driver);
    let export = ["container", "checkpoint", "--export", "/tmp/c.tar", "c"];
    lab.podman(export).ok();
    lab.remove("c");
    let import = ["container", "restore", "--import", "/tmp/c.tar"];
    lab.podman(import).ok();
    has_all_and_gives_it_back(&lab, &network, "c", "10.77.0.3");
}

fn a_copy_under_another_name_takes_nothing_of_the_original(driver: Driver) {
    let (lab, network) = lab(driver);
    let export = ["container", "checkpoint", "--leave-running", "--export"];
    lab.podman(export).args(["/tmp/c.tar", "c"]).ok();
    let import = ["container", "restore", "--import", "/tmp/c.tar", "--name"];
    lab.podman(import)
        .args(["copy", "--publish", "9090:80"])
        .ok();
    assert_eq!(lab.addresses("copy", "eth0"), [ip("10.77.0.4")]);
    assert_eq!(lab.dns_entries("n")["copy"], [ip("10.77.0.4")]);
    lab.remove("copy");
    has_all_and_gives_it_back(&lab, &network, "c", "10.77.0.3");
}
