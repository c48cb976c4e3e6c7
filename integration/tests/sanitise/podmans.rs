//! A Podman with directories of its own is found and asked.

use berth_integration::Lab;

use super::{ADDRESS, NET, addresses, all_is_well, lab, leak, leave_pending_of};

#[test]
fn a_podman_with_directories_of_its_own_is_asked_when_it_is_named() {
    let lab = lab();
    // All of root's podmans share a file, wherever their containers are.
    let own = ["--root", "/srv/own/root", "--runroot", "/srv/own/run"];
    let podman = |args: &[&str]| lab.podman(own).args(args);
    lab.sh("mkdir /srv/own; mount -t tmpfs own /srv/own");
    lab.sh("podman save --quiet --output /tmp/lab.tar lab");
    podman(&["load", "--quiet", "--input", "/tmp/lab.tar"]).ok();
    podman(&["run", "--detach", "--name=own", "--network=n", "lab"]).ok();
    lab.container("live", &["n"]).start();
    leak(&lab, "x", ADDRESS);
    let mine = podman(&["inspect", "--format={{.Id}}", "own"]).ok();
    leave_pending_of(&lab, "own", &own);
    let both = ["--podman", "podman", "--podman"];
    let command = format!("podman {}", own.join(" "));
    let report = lab.migrate_json(both.iter().copied().chain([command.as_str()]).fold(
        vec!["sanitise"],
        |mut args, arg| {
            args.push(arg);
            args
        },
    ));
    assert_eq!(addresses(&report, "removed"), [ADDRESS], "{report:#}");
    assert_eq!(
        report["pending"][0]["container"],
        mine.as_str(),
        "{report:#}"
    );
    let removed = podman(&["rm", "--force", "--all"]).run();
    assert!(
        removed.status.success() && removed.stderr.is_empty(),
        "{removed}"
    );
    all_is_well(&lab);
}

#[test]
fn a_users_podman_with_directories_of_its_own_is_found_by_them() {
    let lab = Lab::start().user();
    let own = [
        "--root",
        "/home/sailor/own",
        "--runroot",
        "/run/user/7001/own",
    ];
    let podman = |args: &[&str]| lab.podman(own).args(args);
    podman(&["load", "--quiet", "--input", "/run/lab-image.tar"]).ok();
    podman(&["network", "create", "--subnet", NET, "n"]).ok();
    podman(&["run", "--detach", "--name=live", "--network=n", "lab"]).ok();
    let script = format!(
        "#!/bin/bash\ncase \" $* \" in *\" setup \"*) kill -9 $PPID;; *) exec {} \"$@\";; esac\n",
        lab.netavark()
    );
    let conf = lab.replace_netavark(&script);
    let run = [
        "run",
        "--detach",
        "--name=x",
        "--network=n",
        "--ip",
        ADDRESS,
        "lab",
    ];
    let died = podman(&run).env("CONTAINERS_CONF_OVERRIDE", conf).run();
    assert!(!died.status.success());
    podman(&["rm", "--force", "x"]).ok();
    let directories = [
        "--run-dir=/run/user/7001/own/networks",
        "--config-dir=/home/sailor/own/networks",
    ];
    let report = lab.sanitise(&directories);
    assert_eq!(addresses(&report, "removed"), [ADDRESS], "{report:#}");
    assert_eq!(report["live"], 1, "{report:#}");
    podman(&run).ok();
    // What another Podman says does not count.
    let wrong = [
        "sanitise",
        directories[0],
        directories[1],
        "--podman=podman",
    ];
    let report = lab.migrate_json(wrong);
    assert_eq!(report["live"], 2, "{report:#}");
    podman(&["rm", "--force", "--all", "--time=0"]).ok();
}

/// A command that only shows something asks as little as it can. A command that removes something
/// makes sure that it asks the right Podman.
#[test]
fn podman_is_asked_who_it_is_before_anything_is_removed() {
    let lab = lab();
    lab.container("live", &["n"]).start();
    lab.sh("mkdir /tmp/bin");
    let wrapper = "#!/bin/sh\necho \"$*\" >>/tmp/asked\nexec /usr/bin/podman \"$@\"\n";
    lab.write_executable("/tmp/bin/podman", wrapper);
    let asked = |args: &[&str]| {
        let path = "/tmp/bin:/usr/bin:/usr/sbin:/usr/local/bin";
        let report = lab.migrate(args).env("PATH", path).run();
        let lines = lab.sh("cat /tmp/asked; rm /tmp/asked");
        let verbs = lines.lines().filter_map(|line| line.split(' ').nth(2));
        (report, verbs.map(str::to_owned).collect::<Vec<_>>())
    };
    let (report, verbs) = asked(&["inspect"]);
    assert!(report.stdout.contains("1 live"), "{report}");
    assert_eq!(verbs, ["ps"]);
    let (report, verbs) = asked(&["inspect", "--podman=podman"]);
    assert!(report.stdout.contains("1 live"), "{report}");
    assert_eq!(verbs, ["info", "ps"]);
    assert_eq!(asked(&["sanitise"]).1[..2], ["info", "ps"]);
    // A podman that can only be a client has no such option.
    let client = "#!/bin/sh\necho \"$*\" >>/tmp/asked
        case \"$*\" in *--syslog*) exit 125;; esac\necho '[]'\n";
    lab.write_executable("/tmp/bin/podman", client);
    let (report, _) = asked(&["inspect"]);
    assert!(
        report.stdout.contains("without an answer from Podman"),
        "{report}"
    );
}
