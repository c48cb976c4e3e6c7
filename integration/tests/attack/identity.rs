//! A runtime within a container moves the container's interface to a namespace of its own, and
//! mounts what looks like another container's files.

use berth_integration::{Lab, Network};

use super::lab;

/// Returns the containers that have leases.
fn holders(lab: &Lab, network: &Network) -> Vec<String> {
    let tenants = lab.leases(network).tenants.into_iter();
    tenants
        .map(|tenant| tenant.tenancy.container_id.to_string())
        .collect()
}

/// Moves `eth0` of container `$1`, with the address `$2`, into a new namespace, whose process has
/// files of container `$3` mounted. Prints the pid of that process.
const PASS_FOR: &str = r#"
mkdir -p "/tmp/x-containers/$3/userdata"
echo forged >"/tmp/x-containers/$3/userdata/hosts"
nsenter --target "$1" --net unshare --net --mount bash -euc '
    mount --bind "/tmp/x-containers/$1/userdata/hosts" /etc/hosts
    : >/tmp/mounted
    exec sleep 600' bash "$3" >/dev/null 2>&1 &
inner=$!
until [ -e /tmp/mounted ] && grep -q sleep "/proc/$inner/comm"; do sleep 0.02; done
nsenter --target "$1" --net ip link set eth0 netns "$inner"
nsenter --target "$inner" --net ip address add "$2/24" dev eth0
nsenter --target "$inner" --net ip link set eth0 up
echo "$inner""#;

#[test]
fn nobody_keeps_a_dead_containers_lease_by_its_mounts() {
    let (lab, network) = lab();
    let victim = lab.container("victim", &["n"]).ip("10.77.0.9").start();
    lab.container("attacker", &["n"]).ip("10.77.0.66").start();
    lab.kill_with_conmon("victim");
    lab.remove_empty_namespaces();
    let attacker = lab.pid("attacker").to_string();
    let arguments = [attacker.as_str(), "10.77.0.77", victim.id.as_str()];
    let pass_for = lab.cmd("bash").args(["-euc", PASS_FOR, "bash"]);
    pass_for.args(arguments).ok();
    lab.cmd("berth").arg("gc").ok();
    let held = holders(&lab, &network);
    assert!(!held.contains(&victim.id), "{held:?}");
    lab.container("next", &["n"]).ip("10.77.0.9").start();
}

#[test]
fn a_container_whose_conmon_was_killed_is_known_by_podmans_files() {
    let (lab, network) = lab();
    let container = lab.container("c", &["n"]).ip("10.77.0.9").start();
    let conmon = lab.podman(["inspect", "--format", "{{.State.ConmonPid}}", "c"]);
    lab.kill(&conmon.ok());
    lab.sh("rm -rf /run/containers/networks/berth /run/containers/networks/aardvark-dns");
    lab.cmd("berth").arg("gc").ok();
    assert_eq!(holders(&lab, &network), [container.id]);
    lab.sh("kill -9 $(pgrep -x sleep)");
}
