//! The record of which container had which address. It survives restarts, kills and losses, and
//! never gets in the way.

use std::time::Duration;

use berth_integration::{Driver, Lab, Network, wait_until, with_driver};
use serde_json::Value;

const STATE: &str = "/run/containers/networks/berth";
const FILE: &str = "/var/lib/berth/run-containers-networks-berth.history";

with_driver!(
    of_the_host,
    HostWide,
    an_address_has_a_history,
    the_history_outlives_the_store_and_the_boot,
);
with_driver!(
    of_a_plugin,
    Berth,
    an_address_has_a_history,
    the_history_outlives_the_store_and_the_boot,
);

fn scene(driver: Driver) -> (Lab, Network) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &["--subnet=10.77.0.0/24"]);
    (lab, network)
}

/// Returns the spells of a history, each as `ADDRESS NAME OUTCOME`.
#[track_caller]
fn told(lab: &Lab, words: &[&str]) -> Vec<String> {
    let spell = |spell: &Value| {
        let text = |field: &str| spell[field].as_str().unwrap_or_default().to_owned();
        assert!(!text("from").is_empty(), "{spell}");
        let fields = ["address", "container_name", "outcome"].map(text);
        fields.join(" ")
    };
    spells(lab, words).iter().map(spell).collect()
}

#[track_caller]
fn spells(lab: &Lab, words: &[&str]) -> Vec<Value> {
    let text = lab
        .cmd("berth")
        .args(["history", "--json"])
        .args(words)
        .ok();
    serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err} in `{text}`"))
}

fn an_address_has_a_history(driver: Driver) {
    let (lab, network) = scene(driver);
    let web = || lab.container("web", &["n"]).ip("10.77.0.99");
    let id = web().start().id;
    assert_eq!(told(&lab, &["10.77.0.99"]), ["10.77.0.99 web held"]);
    lab.kill_with_conmon("web");
    lab.cmd("berth").args(["gc"]).ok();
    lab.remove_at_last("web");
    web().start();
    lab.podman(["stop", "--time=0", "web"]).ok();
    lab.container("other", &["n"]).start();
    let of_web = ["10.77.0.99 web reclaimed", "10.77.0.99 web released"];
    assert_eq!(told(&lab, &["10.77.0.99"]), of_web);
    assert_eq!(told(&lab, &["web"]), of_web);
    assert_eq!(told(&lab, &[&id[..12]]), [of_web[0]]);
    let all = [of_web[0], of_web[1], "10.77.0.2 other held"];
    assert_eq!(told(&lab, &[&network.id]), all);
    assert_eq!(told(&lab, &[]), all);
    assert_eq!(
        told(&lab, &["--network=n", "--since=1h", "other"]),
        all[2..]
    );
    assert_eq!(
        told(&lab, &["--since=2124-01-01"]),
        all[2..],
        "it still holds"
    );

    let reclaimed = &spells(&lab, &["web"])[0];
    assert_eq!(
        reclaimed["reason"],
        "no process is in its namespace and nothing is starting it"
    );
    assert_eq!(
        (&reclaimed["kind"], &reclaimed["container_id"]),
        (&"static".into(), &(*id).into())
    );
    assert!(reclaimed["from"].as_str() <= reclaimed["until"].as_str());
    let table = lab.cmd("berth").args(["history", "web"]).ok();
    assert!(table.starts_with("ADDRESS "), "{table}");
    assert!(table.ends_with(" released"), "{table}");
    lab.cmd("berth")
        .args(["history", "10.77.0.98"])
        .fails("the history has no entry for 10.77.0.98");
    for name in ["web", "other"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}

fn the_history_outlives_the_store_and_the_boot(driver: Driver) {
    let (lab, network) = scene(driver);
    lab.container("stays", &["n"]).start();
    lab.container("gone", &["n"]).start();
    lab.sh(&format!("rm -r {STATE}"));
    lab.cmd("berth").args(["gc"]).ok();
    let held = ["10.77.0.2 stays held", "10.77.0.3 gone held"];
    assert_eq!(told(&lab, &[]), held, "the store was made again");
    // Like a power cut, which empties /run.
    lab.kill_with_conmon("gone");
    lab.sh(&format!(
        "rm -r {STATE}
         cat /proc/sys/kernel/random/uuid >/tmp/boot_id
         mount --bind /tmp/boot_id /proc/sys/kernel/random/boot_id"
    ));
    let spell = &spells(&lab, &["gone"])[0];
    assert_eq!(spell["outcome"], "unnoted");
    assert_eq!(spell["reason"], "the machine was rebooted");
    assert_eq!(spell["until"], Value::Null);
    // A lease that exists after the boot begins a new spell; the spells from before have ended.
    lab.cmd("berth").args(["gc"]).ok();
    assert_eq!(
        told(&lab, &["stays"]),
        ["10.77.0.2 stays unnoted", "10.77.0.2 stays held"]
    );
    assert!(spells(&lab, &["gone"])[0]["until"].is_string());
    // Podman itself refuses to work in another boot.
    lab.sh(&format!(
        "umount /proc/sys/kernel/random/boot_id; rm -r {STATE}"
    ));
    for name in ["stays", "gone"] {
        lab.remove_at_last(name);
    }
    lab.cmd("berth").args(["gc"]).ok();
    lab.assert_clean(&network);
}

#[test]
fn a_setup_that_was_undone_is_told_of() {
    let (lab, network) = scene(Driver::Berth);
    let script = format!(
        r#"#!/bin/bash
case " $* " in
*" setup "*) echo '{{"error":"no firewall today"}}'; exit 1 ;;
esac
exec {} "$@"
"#,
        lab.netavark()
    );
    lab.write_executable("/usr/local/bin/no-firewall", &script);
    let web = lab.container("web", &["n"]).ip("10.77.0.99");
    web.env("BERTH_NETAVARK", "/usr/local/bin/no-firewall")
        .fails("no firewall today");
    let spell = &spells(&lab, &["10.77.0.99"])[0];
    assert_eq!(spell["outcome"], "undone");
    let reason = spell["reason"].as_str().expect("a reason");
    assert!(reason.contains("no firewall today"), "{spell}");
    lab.remove("web");
    lab.assert_clean(&network);
}

#[test]
fn a_history_that_cannot_be_written_or_read_is_in_nobodys_way() {
    let (lab, network) = scene(Driver::Berth);
    lab.sh(&format!("mkdir -p {FILE}"));
    let run = lab.container("web", &["n"]).cmd().run();
    assert!(run.status.success(), "{run}");
    assert!(run.stderr.contains(FILE), "it is said: {run}");
    let history = lab.cmd("berth").args(["history"]).run();
    assert!(history.status.success(), "{history}");
    assert!(history.stderr.contains(FILE), "{history}");
    assert!(history.stdout.contains("web"), "the store knows: {history}");
    lab.sh(&format!(
        "rmdir {FILE}; printf 'gar\\xffbage\\n{{}}\\n' >{FILE}"
    ));
    lab.container("other", &["n"]).start();
    let history = lab.cmd("berth").args(["history"]).run();
    assert!(history.stderr.contains("2 lines of"), "{history}");
    assert_eq!(
        told(&lab, &[]),
        ["10.77.0.2 web held", "10.77.0.3 other held"]
    );
    for name in ["web", "other"] {
        lab.remove(name);
    }
    lab.cmd("berth").args(["gc"]).ok();
    lab.assert_clean(&network);
    assert_eq!(
        told(&lab, &[]),
        ["10.77.0.2 web released", "10.77.0.3 other released"]
    );
}

#[test]
fn what_happens_is_told_as_it_happens() {
    let (lab, network) = scene(Driver::Berth);
    lab.container("before", &["n"]).start();
    lab.sh("berth history --follow web >/tmp/told 2>&1 & echo $! >/tmp/pid");
    lab.container("web", &["n"]).start();
    lab.container("other", &["n"]).start();
    lab.remove("web");
    let told = wait_until("two events", Duration::from_secs(10), || {
        let told = lab.sh("cat /tmp/told");
        (told.lines().count() >= 2).then_some(told)
    });
    lab.sh("kill $(cat /tmp/pid)");
    let lines: Vec<_> = told.lines().collect();
    assert!(
        lines[0].contains("Z leased 10.77.0.3 of container "),
        "{told}"
    );
    assert!(
        lines[1].contains("Z released 10.77.0.3 of container "),
        "{told}"
    );
    lab.remove("other");
    lab.remove("before");
    lab.assert_clean(&network);
}
