//! The files in `examples` do what they say, with the lab's image in place of theirs.

use berth_integration::{Lab, ip};

const NETWORK: &str = include_str!("../../examples/quadlet/shop.network");
const CONTAINER: &str = include_str!("../../examples/quadlet/web.container");
const COMPOSE: &str = include_str!("../../examples/compose/compose.yaml");
const POD: &str = include_str!("../../examples/kube/pod.yaml");
const CONF: &str = include_str!("../../examples/berth.conf");

/// Returns a text with the lab's image in place of every other one.
fn with_image(text: &str) -> String {
    let line = |line: &str| {
        let name = ["Image=", "image: "]
            .into_iter()
            .find(|name| line.contains(name));
        let place = name.and_then(|name| line.find(name).map(|at| at + name.len()));
        match place {
            Some(place) => format!("{}localhost/lab:latest\n", &line[..place]),
            None => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

/// Returns the command that a unit starts, for a shell to run, without the parts that need a
/// running systemd.
fn exec_start(unit: &str) -> String {
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let words = line.expect("it starts something").split(' ');
    let needs_systemd = |word: &&str| {
        !["--cgroups", "--sdnotify", "--cidfile"]
            .iter()
            .any(|name| word.starts_with(name))
    };
    words.filter(needs_systemd).collect::<Vec<_>>().join(" ")
}

#[test]
fn quadlet_and_systemd_take_the_units_and_podman_what_they_start() {
    let lab = Lab::start();
    let container = with_image(CONTAINER);
    lab.write("/etc/containers/systemd/shop.network", NETWORK);
    lab.write("/etc/containers/systemd/web.container", &container);
    lab.sh("mkdir -p /run/units
        /usr/libexec/podman/quadlet /run/units /run/units /run/units");
    let names = lab.names("/run/units");
    for unit in ["shop-network.service", "web.service"] {
        assert!(names.contains(&unit.to_owned()), "{names:?}");
        let path = format!("/run/units/{unit}");
        let verify = lab
            .cmd("systemd-analyze")
            .env("SYSTEMD_UNIT_PATH", "/run/units:");
        let outcome = verify
            .args(["--man=no", "--recursive-errors=one", "verify", &path])
            .run();
        assert!(outcome.status.success(), "{outcome}");
        assert_eq!(outcome.stderr, "", "{outcome}");
        let unit = lab.cmd("cat").arg(&path).ok();
        lab.sh(&exec_start(&unit));
    }
    assert_eq!(lab.addresses("web", "eth0"), [ip("10.50.0.10")]);
    let hold = "{{index .Options \"ipam_hold\"}}";
    let hold = lab
        .podman(["network", "inspect", "--format", hold, "shop"])
        .ok();
    assert_eq!(hold, "7d");
    lab.container("dynamic", &["shop"]).start();
    assert_eq!(lab.addresses("dynamic", "eth0"), [ip("10.50.0.129")]);
}

#[test]
fn every_service_of_the_compose_project_has_its_addresses_again_after_a_crash() {
    let lab = Lab::start();
    lab.write("/srv/shop/compose.yaml", &with_image(COMPOSE));
    let compose = |words: &[&str]| {
        let compose = lab.cmd("podman-compose").env("DATABASE_PASSWORD", "secret");
        compose
            .args(["--file", "/srv/shop/compose.yaml"])
            .args(words)
            .ok();
    };
    const SERVICES: [(&str, &str); 4] = [
        ("proxy", "10"),
        ("app", "20"),
        ("database", "30"),
        ("pictures", "40"),
    ];
    let check = || {
        for (service, last) in SERVICES {
            let name = format!("shop_{service}_1");
            for (network, subnet) in [("front", "10.50.0"), ("back", "10.51.0")] {
                let reported = lab.reported(&name, &format!("shop_{network}"));
                assert_eq!(
                    reported,
                    [ip(&format!("{subnet}.{last}"))],
                    "{name} on {network}"
                );
            }
        }
    };
    compose(&["up", "--detach"]);
    check();
    for (service, _) in SERVICES {
        lab.kill_with_conmon(&format!("shop_{service}_1"));
    }
    compose(&["down", "--timeout=0"]);
    compose(&["up", "--detach"]);
    check();
    let names = lab.podman(["exec", "shop_app_1", "nslookup", "database"]);
    let names = names.run().stdout;
    assert!(names.contains("10.51.0.30"), "{names}");
    compose(&["down", "--timeout=0"]);
    assert_eq!(lab.cmd("berth").args(["list", "--quiet"]).ok(), "");
}

#[test]
fn a_pod_of_a_kube_file_has_its_address() {
    let lab = Lab::start();
    // The lab has no catatonit, which the pod's own container would otherwise run.
    lab.write(
        "/etc/containers/containers.conf.d/pod.conf",
        "[engine]\ninfra_image = \"localhost/lab:latest\"\n",
    );
    lab.write("/srv/pod.yaml", &with_image(POD));
    let create = [
        "network",
        "create",
        "-d",
        "berth",
        "--subnet",
        "10.50.0.0/24",
        "shop",
    ];
    lab.podman(create).ok();
    // Do what examples/README.md and the file say.
    let usage = POD
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("# podman "));
    let words = usage
        .expect("its first line says how")
        .replace("pod.yaml", "/srv/pod.yaml");
    lab.podman(words.split(' ')).ok();
    let list = ["list", "--format", "{{.Address}} {{.State}}"];
    let listed = || lab.cmd("berth").args(list).ok();
    assert_eq!(listed(), "10.50.0.40 live");
    lab.podman(["kube", "down", "/srv/pod.yaml"]).ok();
    assert_eq!(listed(), "");
}

#[test]
fn the_example_of_berth_conf_is_understood_and_says_what_holds_without_it() {
    let lab = Lab::start();
    let config = || lab.cmd("berth").args(["config", "--format", "json"]);
    let values = |json: &str| {
        let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
        let settings = json["settings"].as_array().expect("a list");
        let values = settings
            .iter()
            .map(|line| (line["key"].clone(), line["value"].clone()));
        values.collect::<Vec<_>>()
    };
    let built_in = values(&config().ok());
    lab.write("/etc/containers/berth.conf", CONF);
    assert_eq!(values(&config().ok()), built_in);
    // Lines that are commented out are understood as well.
    let uncommented: String = CONF
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(code) if !code.starts_with(' ') => format!("{code}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    lab.write("/etc/containers/berth.conf", &uncommented);
    let mut set = values(&config().ok());
    // Settings of a named network or share have no built-in value.
    let is_named = |key: &str| ["network.", "share."].iter().any(|of| key.starts_with(of));
    set.retain(|(key, _)| key.as_str().is_some_and(|key| !is_named(key)));
    let excluded =
        |line: &&(serde_json::Value, serde_json::Value)| line.0 != "defaults.ipam_exclude";
    let of = |all: &[_]| all.iter().filter(excluded).cloned().collect::<Vec<_>>();
    assert_eq!(of(&set), of(&built_in));
}
