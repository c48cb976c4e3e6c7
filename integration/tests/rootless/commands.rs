//! berth's commands find the user's Podman, or say why they cannot.

use berth_integration::{Driver, Lab, with_driver};

use super::{ADDRESS, SUBNET, user, web};

with_driver!(
    only_berth,
    Berth,
    commands_find_the_users_podman,
    commands_find_a_podman_with_directories_of_its_own,
    commands_say_why_they_do_not_get_to_the_users_podman,
);

/// The commands are run from the user's shell, outside all of Podman's namespaces.
fn commands_find_the_users_podman(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).start();
    let leases = lab.leases(&network);
    assert_eq!(leases.of(&network), [format!("[{ADDRESS}] bound to c")]);
    let starter = leases.tenants[0].starter;
    assert!(starter.is_some(), "the podman that asked is known");
    let history = lab.cmd("berth").args(["history", "c"]).ok();
    assert!(history.ends_with(" held"), "{history}");
    let file = lab.sh("ls ~/.local/state/berth");
    assert!(file.ends_with("-networks-berth.history"), "{file}");
    let place = leases.place;
    let file = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    for path in [
        place.store.join("leases.redb"),
        place.networks.join("n.json"),
        place.lock.clone(),
    ] {
        lab.cmd("test").args(["-e", &file(path)]).ok();
    }
    // Podman itself takes this lock during a setup …
    let lock = file(place.lock);
    let script = r#"#!/bin/bash
case " $* " in *" setup "*) grep -c ":$(stat -c %i "$LOCK") " /proc/locks >"$LOCK.held" || true ;; esac
exec NETAVARK "$@"
"#;
    let conf = lab.replace_netavark(&script.replace("NETAVARK", &lab.netavark()));
    lab.container("other", &["n"])
        .env("CONTAINERS_CONF_OVERRIDE", conf)
        .env("LOCK", &lock)
        .start();
    assert_eq!(lab.cmd("cat").arg(format!("{lock}.held")).ok(), "1");
    // … but not while it runs berth's commands.
    let take =
        "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)";
    lab.beside_bridges("python3").args(["-c", take, &lock]).ok();
    for name in ["other", "c"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}

fn commands_find_a_podman_with_directories_of_its_own(driver: Driver) {
    let lab = Lab::start().user();
    let runtime = lab.netns_dir().replace("/netns", "");
    let conf = "[storage]\nrunroot = \"$XDG_RUNTIME_DIR/run\"\n\
                graphroot = \"$HOME/graph\"\n";
    let conf = format!("mkdir -p ~/.config/containers; printf '{conf}' >$_/storage.conf");
    lab.sh(&conf);
    lab.podman(["load", "--quiet", "--input", "/run/lab-image.tar"])
        .ok();
    let network = lab.network(driver, "n", &SUBNET);
    web(&lab).start();
    let leases = lab.leases(&network);
    assert_eq!(leases.of(&network), [format!("[{ADDRESS}] bound to c")]);
    let store = leases.place.store.to_string_lossy().into_owned();
    assert_eq!(store, format!("{runtime}/run/networks/berth"));
    let file = leases.place.networks.join("n.json");
    lab.cmd("test").args(["-e", &file.to_string_lossy()]).ok();
    lab.remove("c");
}

fn commands_say_why_they_do_not_get_to_the_users_podman(driver: Driver) {
    let (lab, _) = user(driver);
    let command = |variables: &[&str]| {
        let env = lab.cmd("/usr/bin/env").args(variables);
        env.arg("/usr/local/bin/lab-store")
    };
    let refused = command(&["PATH=/nowhere"]).fails("lab-store: failed to run podman, which leads");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused}");
    // If a user's Podman has never run, berth does not need it.
    command(&["PATH=/nowhere", "XDG_RUNTIME_DIR=/run/user"]).ok();
    lab.write_executable("/opt/wrapper/podman", "#!/bin/sh\nshift 2\nexec \"$@\"\n");
    command(&["PATH=/opt/wrapper:/usr/bin:/bin"]).fails("outside of a user namespace");
}
