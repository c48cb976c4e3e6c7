//! What a look at the host cannot see or read decides nothing about anything else.

use berth_integration::{Cmd, Driver, Lab, ip};

use super::{lab, stranger};

const STORE: &str = "/run/containers/networks/berth";

/// Returns a text as one word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Asserts that berth leases and collects with a store that knows nothing about what runs.
#[track_caller]
fn assert_a_lost_store_comes_back(lab: &Lab) {
    lab.sh(&format!("rm -rf {STORE}"));
    lab.container("new", &["n"]).start();
    lab.cmd("berth").arg("gc").ok();
    lab.remove("new");
}

/// Any user can give an interface in a namespace of their own an alias that is not text.
#[test]
fn a_byte_that_is_no_text_locks_nobody_out() {
    let (lab, _) = lab();
    let script = r#"export -f ready
        exec unshare -Urn bash -c 'ip link set lo alias $'"'x\\xff'"'; ready; exec sleep 999'"#;
    stranger(&lab, script);
    assert_a_lost_store_comes_back(&lab);
}

/// Adds and deletes an address of the loopback for ever, among so many that the addresses are
/// never listed as they are.
const NEVER_THE_SAME: &str = r#"
    for a in $(seq 20); do
        for b in $(seq 250); do echo "address add 10.1.$a.$b/32 dev lo"; done
    done | ip -batch -
    for n in $(seq 20000); do
        echo "address add 10.2.0.1/32 dev lo"
        echo "address delete 10.2.0.1/32 dev lo"
    done >"/tmp/changes$$"
    while :; do ip -batch "/tmp/changes$$"; done >/dev/null 2>&1 &"#;

/// Any user can have such a namespace. It cannot be a container of Podman's, which has a file, a
/// conmon or Podman's files in its mounts.
#[test]
fn a_namespace_that_cannot_be_listed_is_a_doubt_only_if_it_may_be_a_container() {
    let lab = Lab::start();
    lab.sh("ip link add parent type veth peer name other; ip link set parent up");
    let subnet = ["--subnet", "10.79.0.0/24"];
    let macvlan = ["--opt", "driver=macvlan", "--opt", "parent=parent"];
    let network = lab.network(Driver::Berth, "m", &[&subnet[..], &macvlan].concat());
    let forever = format!("{NEVER_THE_SAME}\nready\nwait");
    let own = format!(
        "export -f ready; exec unshare -Urn bash -euc {}",
        quoted(&forever)
    );
    stranger(&lab, &own);
    for container in ["c", "d"] {
        lab.container(container, &["m"]).start();
        lab.sh(&format!("rm -rf {STORE}"));
    }
    lab.cmd("berth").arg("gc").ok();
    assert_eq!(lab.leases(&network).of(&network).len(), 2);

    let pid = lab.pid("c").to_string();
    let enter = lab.cmd("nsenter").args(["--target", &pid, "--net"]);
    enter.args(["bash", "-euc", NEVER_THE_SAME]).ok();
    lab.sh(&format!("rm -rf {STORE}"));
    lab.container("e", &["m"])
        .fails("a process that it cannot see");
}

/// Returns a command of root's without CAP_SYS_PTRACE, as in a service with bounded capabilities.
/// The kernel does not let it see the namespaces of processes that have more capabilities, such
/// as the machine's first process.
fn bounded<'a>(lab: &'a Lab, program: &str) -> Cmd<'a> {
    lab.cmd("setpriv")
        .args(["--bounding-set=-sys_ptrace", program])
}

fn bounded_run<'a>(lab: &'a Lab, name: &str, network: &str) -> Cmd<'a> {
    let run = [
        "run",
        "--detach",
        "--name",
        name,
        "--network",
        network,
        "lab",
    ];
    bounded(lab, "podman").args(run)
}

/// Starts a process with all capabilities in a network namespace of its own. A veth pair with
/// this address connects the namespace to the host, through a bridge if one is named. Returns
/// the pid.
fn recluse(lab: &Lab, address: &str, bridge: Option<&str>) -> String {
    let script = r#"
        unshare --net sleep 600 >/dev/null 2>&1 &
        until [ "$(stat -L -c %i /proc/$!/ns/net)" != "$(stat -L -c %i /proc/self/ns/net)" ]
        do sleep 0.02; done
        ip link add outer type veth peer name inner netns $!
        nsenter --target $! --net ip address add "$1/24" dev inner
        nsenter --target $! --net ip link set inner up
        ip link set outer up
        [ -z "$2" ] || ip link set outer master "$2"
        echo $!"#;
    let bridge = bridge.unwrap_or_default();
    lab.cmd("bash")
        .args(["-euc", script, "bash", address, bridge])
        .ok()
}

#[test]
fn whoever_may_not_trace_starts_the_first_container() {
    let (lab, _) = lab();
    bounded_run(&lab, "c", "n").ok();
    bounded(&lab, "berth").arg("gc").ok();
    bounded(&lab, "podman")
        .args(["rm", "--force", "--time=0", "c"])
        .ok();
    assert_a_lost_store_comes_back(&lab);
}

/// Anybody can have something mounted on a directory whose name is not text.
#[test]
fn a_mount_point_that_is_no_text_is_no_doubt_about_anybody() {
    let (lab, _) = lab();
    lab.sh(r"mkdir $'/tmp/x\xff' && mount -t tmpfs none $'/tmp/x\xff'");
    lab.container("ghost", &["n"]).ip("10.77.0.9").start();
    lab.kill_with_conmon("ghost");
    let run = bounded(&lab, "podman").args(["run", "--detach", "--name", "c"]);
    let run = run.args(["--network", "n", "--ip", "10.77.0.9", "lab"]);
    run.ok();
    assert_eq!(lab.addresses("c", "eth0"), [ip("10.77.0.9")]);
}

/// A process that cannot be looked at says nothing about networks that it is not on.
#[test]
fn a_namespace_out_of_sight_is_no_doubt_about_anybody_else() {
    let (lab, network) = lab();
    recluse(&lab, "192.0.2.9", None);
    bounded_run(&lab, "c", "n").ok();
    // Dead without a teardown: the next collection takes it back.
    lab.container("dead", &["n"]).ip("10.77.0.9").start();
    lab.cmd("podman").args(["kill", "--all"]).ok();
    lab.sh("rm -rf /run/containers/networks/berth");
    bounded_run(&lab, "d", "n").ok();
    bounded(&lab, "berth").arg("gc").ok();
    for name in ["c", "d", "dead"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}

#[test]
fn somebody_out_of_sight_on_a_bridge_is_a_doubt_about_that_network_only() {
    let (lab, _) = lab();
    lab.network(
        Driver::Berth,
        "o",
        &["--subnet", "10.78.0.0/24", "--interface-name", "o0"],
    );
    lab.container("first", &["o"]).start();
    let pid = recluse(&lab, "10.78.0.9", Some("o0"));
    lab.sh(&format!("rm -rf {STORE}"));
    bounded_run(&lab, "c", "n").ok();
    let refused = bounded_run(&lab, "d", "o").fails("a process that it cannot see");
    let process = format!("namespace of process {pid}: Permission denied");
    assert!(refused.stderr.contains(&process), "{refused}");
    lab.remove("d");
    bounded_run(&lab, "e", "n").ok();
    bounded(&lab, "berth").arg("gc").ok();
    lab.remove("first");
    let rollback = bounded(&lab, "berth-migrate").args(["rollback", "--all", "--yes"]);
    let rollback = rollback.fails("n (bridge): moved");
    assert!(
        rollback.stdout.contains("o (bridge): REFUSED"),
        "{rollback}"
    );
    assert!(rollback.stdout.contains(&process), "{rollback}");
    lab.kill(&pid);
    bounded_run(&lab, "d", "o").ok();
}

/// A runtime in a container moves its only interface to a container of its own.
#[test]
fn an_interface_that_was_moved_on_keeps_its_address() {
    let (lab, network) = lab();
    lab.container("c", &["n"]).ip("10.77.0.9").start();
    let pid = lab.pid("c").to_string();
    let script = r#"
        nsenter --target "$1" --net unshare --net sleep 600 >/dev/null 2>&1 &
        until inner=$(pgrep -x sleep --newest --parent $$) &&
            [ "$(stat -L -c %i /proc/$inner/ns/net)" != "$(stat -L -c %i /proc/$1/ns/net)" ] &&
            [ "$(stat -L -c %i /proc/$inner/ns/net)" != "$(stat -L -c %i /proc/self/ns/net)" ]
        do sleep 0.02; done
        nsenter --target "$1" --net ip link set eth0 netns "$inner"
        nsenter --target "$inner" --net ip address add 10.77.0.9/24 dev eth0
        echo "$inner""#;
    let inner = lab.cmd("bash").args(["-euc", script, "bash", &pid]).ok();
    lab.cmd("berth").arg("gc").ok();
    assert_eq!(lab.leases(&network).of(&network).len(), 1);
    let thief = lab.container("thief", &["n"]).ip("10.77.0.9");
    thief.fails("has its address in another namespace");
    lab.kill(&inner);
    lab.cmd("berth").arg("gc").ok();
    assert_eq!(lab.leases(&network).of(&network).len(), 0);
}
