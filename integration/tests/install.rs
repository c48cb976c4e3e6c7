//! `make install` puts the plugin where Podman finds it, and `make uninstall` removes it again,
//! unless Podman runs it in place of netavark.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use berth_integration::Lab;

fn make(verb: &str, prefix: &str, destination: &Path) {
    let built = Path::new(env!("CARGO_BIN_EXE_berth-lab")).parent();
    let output = Command::new("make")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .arg(verb)
        .arg(format!("PREFIX={prefix}"))
        .arg(format!("DESTDIR={}", destination.display()))
        .arg(format!("BUILT={}", built.expect("a file").display()))
        .output()
        .expect("make runs");
    assert!(output.status.success(), "make {verb}: {output:?}");
}

/// Returns every file and link below a directory, relative to it, sorted.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).expect("it is there").flatten() {
            let path = entry.path();
            if entry.file_type().expect("it is there").is_dir() {
                pending.push(path);
            } else {
                let relative = path.strip_prefix(root).expect("it is below");
                found.push(relative.display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// The files that `berth-manual` writes below the prefix.
const MANUAL: [&str; 9] = [
    "share/bash-completion/completions/berth",
    "share/bash-completion/completions/berth-migrate",
    "share/fish/vendor_completions.d/berth-migrate.fish",
    "share/fish/vendor_completions.d/berth.fish",
    "share/man/man1/berth-migrate.1",
    "share/man/man1/berth.1",
    "share/man/man5/berth.conf.5",
    "share/zsh/site-functions/_berth",
    "share/zsh/site-functions/_berth-migrate",
];

#[test]
fn install_into_a_default_prefix_needs_no_configuration() {
    for prefix in ["/usr", "/usr/local"] {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        make("install", prefix, root.path());
        let prefix_below = &prefix[1..];
        let expected = [
            "bin/berth",
            "bin/berth-migrate",
            "lib/systemd/system/berth-gc.service",
            "lib/systemd/system/berth-gc.timer",
            "lib/systemd/system/berth-metrics.service",
            "lib/systemd/system/berth-metrics.timer",
            "lib/systemd/system/berth-sanitise.service",
            "lib/systemd/system/berth-sanitise.timer",
            "lib/systemd/user/berth-gc.service",
            "lib/systemd/user/berth-gc.timer",
            "lib/systemd/user/berth-sanitise.service",
            "lib/systemd/user/berth-sanitise.timer",
            "libexec/netavark/berth",
        ];
        let expected: Vec<_> = expected.into_iter().chain(MANUAL).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|file| format!("{prefix_below}/{file}"))
            .collect();
        assert_eq!(files(root.path()), expected);
        let link = root.path().join(prefix_below).join("bin/berth");
        let [linked, plugin] = [
            &link,
            &root
                .path()
                .join(prefix_below)
                .join("libexec/netavark/berth"),
        ]
        .map(|path| fs::canonicalize(path).expect("it leads somewhere"));
        assert_eq!(linked, plugin);
        make("uninstall", prefix, root.path());
        assert_eq!(files(root.path()), [""; 0]);
    }
}

#[test]
fn podman_finds_the_plugin_in_another_prefix_by_the_drop_in() {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    make("install", "/srv/quay", root.path());
    let drop_in = "etc/containers/containers.conf.d/50-berth.conf";
    let manual = MANUAL.map(|file| format!("srv/quay/{file}"));
    let expected = [
        drop_in,
        "etc/systemd/system/berth-gc.service",
        "etc/systemd/system/berth-gc.timer",
        "etc/systemd/system/berth-metrics.service",
        "etc/systemd/system/berth-metrics.timer",
        "etc/systemd/system/berth-sanitise.service",
        "etc/systemd/system/berth-sanitise.timer",
        "etc/systemd/user/berth-gc.service",
        "etc/systemd/user/berth-gc.timer",
        "etc/systemd/user/berth-sanitise.service",
        "etc/systemd/user/berth-sanitise.timer",
        "srv/quay/bin/berth",
        "srv/quay/bin/berth-migrate",
        "srv/quay/libexec/netavark/berth",
    ];
    let expected = expected.map(str::to_owned).into_iter().chain(manual);
    assert_eq!(files(root.path()), expected.collect::<Vec<_>>());

    let lab = Lab::start();
    lab.sh("mkdir -p /srv/quay/libexec/netavark
        cp /usr/libexec/netavark/berth /srv/quay/libexec/netavark/berth
        umount /usr/libexec/netavark/berth
        rm /usr/libexec/netavark/berth");
    let plugins = || {
        lab.podman(["info", "--format", "{{.Plugins.Network}}"])
            .ok()
    };
    assert!(!plugins().contains("berth"), "{}", plugins());
    let create = || lab.podman(["network", "create", "--driver=berth", "n"]);
    create().fails(&lab.says_without_a_plugin("berth"));
    let text = fs::read_to_string(root.path().join(drop_in)).expect("it is there");
    lab.write(&format!("/{drop_in}"), &text);
    assert!(plugins().contains("berth"), "{}", plugins());

    for (unit, start) in [
        ("berth-gc", "ExecStart=/srv/quay/bin/berth gc"),
        (
            "berth-sanitise",
            "ExecStart=/srv/quay/bin/berth-migrate sanitise",
        ),
        ("berth-metrics", "ExecStart=/srv/quay/bin/berth metrics"),
    ] {
        let service = format!("etc/systemd/system/{unit}.service");
        let service = fs::read_to_string(root.path().join(service)).expect("it is there");
        assert!(service.contains(start), "{service}");
    }

    make("uninstall", "/srv/quay", root.path());
    assert_eq!(files(root.path()), [""; 0]);
}

/// Returns what `make uninstall` does, for a lab without make.
fn recipe(prefix: &str) -> String {
    let output = Command::new("make")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        // `make test` may be running us.
        .env_remove("MAKEFLAGS")
        .args(["--dry-run", "--no-print-directory", "uninstall"])
        .arg(format!("PREFIX={prefix}"))
        .output()
        .expect("make runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn berth_stays_installed_while_it_is_in_front_of_netavark_wherever_the_link_is() {
    const PROGRAM: &str = "/srv/quay/libexec/netavark/berth";
    const CONF: &str = "/etc/containers/containers.conf.d/40-helpers.conf";
    let lab = Lab::start();
    lab.sh(&format!(
        "mkdir -p /var/quay/libexec/netavark
        ln -s /var/quay /srv/quay
        cp /usr/libexec/netavark/berth {PROGRAM}"
    ));
    let uninstall = || lab.cmd("sh").args(["-ec", &recipe("/srv/quay")]);
    let stays = |reason: &str| {
        uninstall().fails(reason);
        lab.cmd("test").args(["-x", PROGRAM]).ok();
    };
    let switch = |to: &str| {
        let switch = lab.cmd(PROGRAM).args(["host-wide", to, "--yes"]);
        switch.ok();
    };

    // The prefix is a link.
    switch("on");
    assert_eq!(lab.netavark(), "/usr/local/libexec/podman/netavark");
    stays("run berth host-wide off first");
    switch("off");

    // Podman looks elsewhere first.
    let netavark = lab.netavark();
    let directory = Path::new(&netavark).parent().expect("a directory");
    let conf = format!("[engine]\nhelper_binaries_dir = [\"/srv/helpers\", {directory:?}]\n");
    lab.write(CONF, &conf);
    switch("on");
    assert_eq!(lab.netavark(), "/srv/helpers/netavark");
    stays("/srv/helpers/netavark is berth, in front of netavark: run berth host-wide off first");

    // Nobody knows where Podman looks.
    lab.write(CONF, "[engine]\nhelper_binaries_dir = 7\n");
    stays("it is not known whether berth is in front of netavark");
    lab.write(CONF, &conf);

    switch("off");
    uninstall().ok();
    lab.cmd("test").args(["!", "-e", PROGRAM]).ok();
    lab.container("web", &["podman"]).start();
    // There is nothing left to ask, or to keep.
    uninstall().ok();
}

#[test]
fn systemd_takes_the_units() {
    let lab = Lab::start();
    for (name, text) in [
        (
            "berth-gc.service",
            include_str!("../../systemd/berth-gc.service"),
        ),
        (
            "berth-gc.timer",
            include_str!("../../systemd/berth-gc.timer"),
        ),
        (
            "berth-metrics.service",
            include_str!("../../systemd/berth-metrics.service"),
        ),
        (
            "berth-metrics.timer",
            include_str!("../../systemd/berth-metrics.timer"),
        ),
        (
            "berth-sanitise.service",
            include_str!("../../systemd/berth-sanitise.service"),
        ),
        (
            "berth-sanitise.timer",
            include_str!("../../systemd/berth-sanitise.timer"),
        ),
    ] {
        for of in ["system", "user"] {
            lab.write(&format!("/etc/systemd/{of}/{name}"), text);
        }
    }
    for of in ["system", "user"] {
        let scope = format!("--{of}");
        let units = ["gc", "sanitise"].map(|unit| format!("/etc/systemd/{of}/berth-{unit}.timer"));
        let verify = lab.cmd("systemd-analyze").env("XDG_RUNTIME_DIR", "/run");
        let verify = verify.args([&scope, "--man=no", "--recursive-errors=yes", "verify"]);
        let outcome = verify.args(&units).run();
        assert!(outcome.status.success(), "{outcome}");
        assert!(!outcome.stderr.contains("berth-"), "{outcome}");
    }
    lab.sh("sed -i s/OnActiveSec/OnBreakfast/ /etc/systemd/system/berth-gc.timer");
    let unit = "/etc/systemd/system/berth-gc.timer";
    let outcome = lab.cmd("systemd-analyze").args(["verify", unit]).run();
    assert!(outcome.stderr.contains("OnBreakfast"), "{outcome}");
}
