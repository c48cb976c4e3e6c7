//! Attempts on what belongs to another container, or to another user.

use std::time::{Duration, Instant};

use berth_integration::Lab;

use super::{lab, stranger};

/// Makes a container that the store does not know and that has given itself the bystander's
/// address. Returns its namespace, and the request to tear it down.
fn pretender() -> (Lab, String, String) {
    let (lab, _) = Lab::with_bystander();
    lab.container("c", &["n"]).start();
    let pid = lab.pid("c");
    lab.sh(&format!(
        "nsenter --target {pid} --net ip address flush dev eth0 scope global
        nsenter --target {pid} --net ip address add 10.77.0.7/24 dev eth0"
    ));
    let namespace = lab.podman(["inspect", "-f", "{{.NetworkSettings.SandboxKey}}", "c"]);
    let namespace = namespace.ok();
    let config = lab.sh("cat /etc/containers/networks/n.json");
    let id = "0123456789abcdef".repeat(4);
    let request = format!(
        r#"{{"container_id":"{id}","container_name":"x","network":{config},
            "port_mappings":[{{"container_port":80,"host_ip":"","host_port":7070,
                               "protocol":"tcp","range":1}}],
            "network_options":{{"interface_name":"eth0"}}}}"#
    );
    (lab, namespace, request)
}

#[track_caller]
fn assert_only_the_pretender_is_gone(lab: &Lab) {
    let left = lab.links_inside("c");
    assert!(left.iter().all(|link| link.kind() != "veth"));
    lab.assert_has_all("bystander", "10.77.0.7");
}

#[test]
fn a_teardown_without_a_record_takes_nothing_of_who_leases_the_address() {
    let (lab, namespace, request) = pretender();
    let teardown = lab.cmd("berth").args(["teardown", &namespace]);
    teardown.stdin(request).ok();
    assert_only_the_pretender_is_gone(&lab);
}

#[test]
fn a_teardown_without_a_store_takes_nothing_of_who_has_the_address() {
    let (lab, namespace, request) = pretender();
    lab.write("/srv/state", "this is not a directory");
    let teardown = lab.cmd("berth").args(["teardown", &namespace]);
    let teardown = teardown.env("BERTH_STATE_DIR", "/srv/state");
    teardown.stdin(request).fails("create state directory");
    assert_only_the_pretender_is_gone(&lab);
}

#[test]
fn another_users_directories_do_not_choose_what_root_runs() {
    let (lab, _) = lab();
    let netavark = format!(
        "#!/bin/sh\n: >/tmp/was-run\nexec {} \"$@\"\n",
        lab.netavark()
    );
    let home = "/home/mallory";
    lab.write_executable(&format!("{home}/bin/netavark"), &netavark);
    let conf = format!("[engine]\nhelper_binaries_dir = [\"{home}/bin\"]\n");
    lab.write(&format!("{home}/.config/containers/containers.conf"), &conf);
    lab.sh(&format!("chown -R 1000:1000 {home}"));
    let berth = || lab.cmd("berth").env("HOME", home);
    let was_run = || lab.names("/tmp").contains(&"was-run".to_owned());
    let said = berth().arg("doctor").run();
    assert!(!was_run());
    assert!(
        said.stderr
            .contains("ignoring HOME=/home/mallory, because /home/mallory belongs to user 1000")
    );
    lab.container("ghost", &["n"]).start();
    lab.kill_with_conmon("ghost");
    berth().args(["gc", "--now"]).ok();
    let named = format!("{home}/bin/netavark");
    let outcome = lab.cmd("berth").arg("gc").env("BERTH_NETAVARK", &named);
    outcome.fails("refused to run /home/mallory/bin/netavark as netavark: ");
    // If root's own file names it, berth skips it.
    lab.write("/etc/containers/containers.conf.d/99-x.conf", &conf);
    lab.cmd("berth")
        .arg("gc")
        .fails("found no netavark in /home/mallory/bin");
    assert!(!was_run());
}

/// An ordinary user runs processes with the names of Podman's, and with fitting arguments.
#[test]
fn a_name_that_anybody_can_take_keeps_no_lease_and_nobody_waiting() {
    let (lab, network) = lab();
    let ghost = lab.container("ghost", &["n"]).start();
    let namespace = lab.podman(["inspect", "-f", "{{.NetworkSettings.SandboxKey}}", "ghost"]);
    let namespace = namespace.ok();
    lab.kill_with_conmon("ghost");
    let script = format!(
        "for name in netavark conmon podman berth; do
            printf '#!/bin/sh\\nwhile sleep 1; do :; done\\n' >/tmp/$name
            chmod 755 /tmp/$name
            /tmp/$name --config /run/containers/networks setup {namespace} start -c {} &
        done
        ready; wait",
        ghost.id
    );
    stranger(&lab, &script);
    let start = Instant::now();
    let said = lab.cmd("berth").arg("gc").ok();
    assert!(said.contains("1 reclaimed"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(9), "{said}");
    assert_eq!(lab.leases(&network).of(&network), [""; 0]);
}
