//! Shows the outage for which berth exists, twice: with Podman's own address allocation, and
//! with berth. Real commands with real output, in a lab of their own.
//!
//! Ends with an error if either half does not behave as claimed.
#![allow(
    clippy::print_stdout,
    reason = "standard output is what a demonstration is for"
)]

use std::time::Duration;

use berth_integration::{Cmd, Driver, Lab, Outcome, outage::Death, podman::Run, wait_until};

const ADDRESS: &str = "10.77.0.99";
/// How long berth may take to notice a new network.
const ADOPTION: Duration = Duration::from_secs(30);
const OUTAGE: &str = "requested ip address 10.77.0.99 is already allocated to container ID";

fn main() {
    // Every command is shown as it is run.
    let lab = Lab::start().unrecorded();
    say("The outage", '=');
    say_text(
        "A machine runs out of memory, and the kernel kills a `podman run` in the middle. \
         In this lab a script in netavark's place does it, at the same moment every time: \
         when Podman has chosen the address and nothing else has happened.",
    );

    say("1. Podman's own address allocation", '-');
    create(&lab, Driver::Bridge);
    killed(web(&lab), Death::PodmanBeforeNetavark);
    shown(lab.cmd("cat").arg("/opt/outage/netavark"));
    shown(lab.podman(["rm", "--force", "web"]));
    shown(lab.podman(["ps", "--all"]));
    say_text("The container is gone, from every list. It comes back:");
    let outcome = show(web(&lab).cmd());
    assert!(
        !outcome.status.success() && outcome.stderr.contains(OUTAGE),
        "Podman's own allocation has not lost the address"
    );
    say_text(
        "The address belongs to a container that does not exist, until the next reboot; or until \
         somebody repairs Podman's file, which takes one command:",
    );
    shown(lab.cmd("berth-migrate").arg("sanitise"));
    comes_back(&lab);
    shown(lab.podman(["network", "rm", "--force", "quay"]));

    say("2. The same crash, with berth: nothing to repair", '-');
    create(&lab, Driver::Berth);
    killed(web(&lab), Death::PodmanBeforeNetavark);
    comes_back(&lab);
    say_text(
        "(Podman makes a namespace before it calls netavark. The two it left in \
         /run/netns when it was killed are removed by hand: no plugin heard of them.)",
    );
    lab.remove_empty_namespaces();

    say(
        "3. A worse one: podman, netavark and berth killed at once",
        '-',
    );
    say_text(
        "Everything is plumbed by now: the address is leased, the interface, the firewall \
         rules and the DNS name are there. Nobody is left to take them down.",
    );
    killed(web(&lab), Death::EverybodyAfterPlumbing);
    let network = lab.inspect_network("quay");
    let left = lab.leftovers(&network);
    println!("What they have left behind:");
    for thing in &left {
        println!("  {thing}");
    }
    println!();
    for thing in [
        "interface",
        "DNS name",
        "firewall rule",
        "namespace",
        "lease",
    ] {
        assert!(
            left.iter().any(|line| line.starts_with(thing)),
            "they have left no {thing} behind"
        );
    }
    comes_back(&lab);
    lab.assert_clean(&network);
    println!("Nothing is left behind.");
    shown(lab.podman(["network", "rm", "--force", "quay"]));

    say("4. The same on a network that nobody has changed", '-');
    say_text(
        "Until now, the network was made for berth. One command, and berth leases the addresses of \
         every network of the host, of compose files and quadlets, too:",
    );
    shown(lab.cmd("berth").args(["host-wide", "on", "--yes"]));
    create(&lab, Driver::Bridge);
    say_text("berth takes a new network over from its first container on.");
    shown(web(&lab).cmd());
    wait_until("the adoption of the network", ADOPTION, || {
        let format = "{{.IPAMOptions.driver}}";
        let inspect = ["network", "inspect", "--format", format, "quay"];
        (lab.podman(inspect).ok() == "berth").then_some(())
    });
    shown(lab.cmd("berth").args(["host-wide", "status"]));
    shown(lab.podman(["rm", "--force", "--time=0", "web"]));
    killed(web(&lab), Death::PodmanAfterNetavark);
    comes_back(&lab);
    shown(lab.cmd("berth").args(["host-wide", "off", "--yes"]));
}

fn web(lab: &Lab) -> Run<'_> {
    lab.container("web", &["quay"]).ip(ADDRESS)
}

#[track_caller]
fn create(lab: &Lab, driver: Driver) {
    let driver = driver.to_string();
    let create = [
        "network",
        "create",
        "--subnet=10.77.0.0/24",
        "--driver",
        &driver,
    ];
    shown(lab.podman(create).arg("quay"));
}

#[track_caller]
fn comes_back(lab: &Lab) {
    shown(lab.podman(["rm", "--force", "web"]));
    shown(web(lab).cmd());
    shown(
        lab.inside("web", "ip")
            .args(["-brief", "address", "show", "eth0"]),
    );
    assert_eq!(
        lab.addresses("web", "eth0"),
        [ADDRESS.parse::<std::net::IpAddr>().expect("an address")],
        "the container has not got its address back"
    );
    say_text("It runs, with its address.");
    shown(lab.podman(["rm", "--force", "--time=0", "web"]));
}

#[track_caller]
fn killed(run: Run<'_>, death: Death) {
    print(&run.dies(death));
    println!("Killed\n");
}

/// Runs a command that must succeed, and shows it.
#[track_caller]
fn shown(cmd: Cmd<'_>) {
    let outcome = show(cmd);
    assert!(outcome.status.success(), "this must succeed:\n{outcome}");
}

#[track_caller]
fn show(cmd: Cmd<'_>) -> Outcome {
    let outcome = cmd.run();
    print(&outcome);
    println!();
    outcome
}

fn print(outcome: &Outcome) {
    println!("$ {}", outcome.command);
    print!("{}{}", outcome.stdout, outcome.stderr);
}

fn say(title: &str, rule: char) {
    let rule: String = title.chars().map(|_| rule).collect();
    println!("\n{title}\n{rule}\n");
}

/// Prints a paragraph in lines of at most 78 characters.
fn say_text(text: &str) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if line.len() + word.len() >= 78 {
            println!("{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    println!("{line}\n");
}
