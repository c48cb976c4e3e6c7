//! A container is started again under its name after crashes that nothing cleaned up after. At
//! once, its name and its ports lead only to the new container.

use berth_integration::{Driver, Lab, ip, outage::Death};

const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];

#[track_caller]
fn a_name_and_a_port_lead_to_the_living(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let other = lab.network(driver, "o", &["--subnet", "10.78.0.0/24"]);
    lab.container("bystander", &["n", "o"]).start();
    for _ in 0..2 {
        let run = lab.container("pg", &["n"]);
        let run = run.option("--publish", "15432:80");
        run.dies(Death::PodmanAfterNetavark);
        lab.remove("pg");
    }
    // A container with another name and network, but the same port.
    let run = lab.container("old", &["o"]);
    run.option("--publish", "15432:80")
        .dies(Death::PodmanAfterNetavark);
    lab.remove("old");
    let run = lab.container("pg", &["n"]);
    run.option("--publish", "15432:80").serving().start();
    let own = lab.addresses("pg", "eth0");
    assert_eq!(own, [ip("10.77.0.3")], "the address it had before");
    assert_eq!(lab.dns_entries("n")["pg"], own);
    lab.assert_served("http://127.0.0.1:15432/");
    let mut names: Vec<_> = lab.dns_entries("o").into_keys().collect();
    names.retain(|name| name == "old");
    assert_eq!(names, [""; 0]);
    assert_eq!(lab.leases(&network).of(&network).len(), 2);
    assert_eq!(lab.leases(&other).of(&other).len(), 1);
    lab.remove("pg");
    lab.remove("bystander");
    lab.assert_clean(&network);
}

#[test]
fn a_name_and_a_port_lead_to_the_living_in_plugin_mode() {
    a_name_and_a_port_lead_to_the_living(Driver::Berth);
}

#[test]
fn a_name_and_a_port_lead_to_the_living_in_host_wide_mode() {
    a_name_and_a_port_lead_to_the_living(Driver::HostWide);
}
