//! `make install` puts the plugin where Podman finds it, and `make uninstall`
//! takes it away again.

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

#[test]
fn install_into_a_default_prefix_needs_no_configuration() {
    for prefix in ["/usr", "/usr/local"] {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        make("install", prefix, root.path());
        let prefix_below = &prefix[1..];
        let expected = [
            format!("{prefix_below}/bin/berth"),
            format!("{prefix_below}/libexec/netavark/berth"),
        ];
        assert_eq!(files(root.path()), expected);
        let link = root.path().join(prefix_below).join("bin/berth");
        let [linked, plugin] = [&link, &root.path().join(&expected[1])]
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
    let expected = [
        drop_in,
        "srv/quay/bin/berth",
        "srv/quay/libexec/netavark/berth",
    ];
    assert_eq!(files(root.path()), expected);

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
    create().fails("failed to find driver or plugin \"berth\"");
    let text = fs::read_to_string(root.path().join(drop_in)).expect("it is there");
    lab.write(&format!("/{drop_in}"), &text);
    assert!(plugins().contains("berth"), "{}", plugins());

    make("uninstall", "/srv/quay", root.path());
    assert_eq!(files(root.path()), [""; 0]);
}
