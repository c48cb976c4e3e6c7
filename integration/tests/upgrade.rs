//! Podman, netavark and aardvark-dns are replaced under running containers, first by newer
//! versions and then by older ones again.
//!
//! Needs the labs trixie, forky and experimental, so only `make test-all` runs it:
//! `cargo test -p berth-integration --test upgrade`.

use berth_integration::versions::Version;
use berth_integration::{Driver, Lab, Network, ip, with_each_driver};

with_each_driver!(containers_survive_upgrades_and_the_way_back);

const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];

/// Each lab, and the Podman that it must bring, because a test of upgrades must not pass without
/// an upgrade.
///
/// The way back from Podman 6 to 5 is not part of it. With berth, a container that Podman 6
/// started has no interface after a restart by Podman 5; with Podman's own driver, an address
/// that was given to such a container is still allocated after its removal. netavark 2.1 is not
/// part of it, either: with any driver, a container that 2.0 set up does not answer on its
/// published port after a restart by 2.1.
const WAY: [(&str, Version); 4] = [
    ("forky", Version(5, 8)),
    ("trixie", Version(5, 4)),
    ("forky", Version(5, 8)),
    ("experimental", Version(6, 1)),
];

fn containers_survive_upgrades_and_the_way_back(driver: Driver) {
    let lab = Lab::start_with_podmans(&["trixie", "forky", "experimental"]);
    lab.exchange_podman("trixie");
    assert_eq!(lab.podman_version(), Version(5, 4));
    let network = lab.network(driver, "n", &SUBNET);
    let web = || lab.container("web", &["n"]).option("--publish", "8080:80");
    web().ip("10.77.0.9").serving().start();
    lab.container("peer", &["n"]).start();
    let mut victim = "victim".to_owned();
    lab.container(&victim, &["n"]).ip("10.77.0.99").start();
    for (stage, (name, version)) in WAY.into_iter().enumerate() {
        let peers = lab.addresses("peer", "eth0");
        lab.exchange_podman(name);
        assert_eq!(lab.podman_version(), version, "the Podman of {name}");
        // The containers have not noticed anything.
        assert_eq!(lab.addresses("peer", "eth0"), peers);
        assert_works(&lab);
        // What the previous Podman started dies unseen, and is reclaimed.
        let next = format!("victim{stage}");
        if driver == Driver::Bridge {
            lab.remove(&victim);
        } else {
            lab.kill_with_conmon(&victim);
            let said = lab.cmd("berth").args(["gc", "--now"]).ok();
            assert!(said.contains("10.77.0.99"), "{said}");
            lab.remove_at_last(&victim);
        }
        assert_works(&lab);
        lab.container(&next, &["n"]).ip("10.77.0.99").start();
        victim = next;
        // A restart takes down what the previous Podman set up.
        lab.podman(["restart", "--time=0", "web", "peer"]).ok();
        assert_works(&lab);
        if driver != Driver::Bridge {
            let kept = "a restart does not change it, as Podman's own driver does";
            assert_eq!(lab.addresses("peer", "eth0"), peers, "{kept}");
        }
        // So does a removal.
        lab.remove("web");
        assert_eq!(lab.dns_entries("n").get("web"), None);
        web().ip("10.77.0.9").serving().start();
        assert_works(&lab);
        assert_eq!(lab.dns_entries("n").len(), 6, "two names for each of three");
        if driver != Driver::Bridge {
            assert_eq!(lab.leases(&network).of(&network).len(), 3);
        }
    }
    assert_removable(&lab, &network, &victim);
}

#[track_caller]
fn assert_works(lab: &Lab) {
    assert_eq!(lab.addresses("web", "eth0"), [ip("10.77.0.9")]);
    lab.assert_served("http://127.0.0.1:8080/");
    lab.assert_served_to("peer", "http://web/");
}

#[track_caller]
fn assert_removable(lab: &Lab, network: &Network, victim: &str) {
    for container in ["web", "peer", victim] {
        lab.remove(container);
    }
    lab.assert_clean(network);
    lab.podman(["network", "rm", "n"]).ok();
}
