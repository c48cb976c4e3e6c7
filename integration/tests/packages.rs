//! The packages: installed, upgraded and removed while containers run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use berth_integration::{Driver, Lab, ip};

/// Returns the Debian package and the rpm. They contain the executables of this build, without
/// debug information and with little compression.
fn packages() -> &'static (PathBuf, PathBuf) {
    static MADE: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
        let _ = fs::remove_dir_all(&directory);
        let built = directory.join("built");
        fs::create_dir_all(&built).expect("a directory");
        let profile = Path::new(env!("CARGO_BIN_EXE_berth-lab")).parent();
        for name in ["berth", "berth-migrate", "berth-manual"] {
            let mut strip = Command::new("strip");
            strip.arg("-o").arg(built.join(name));
            run(strip.arg(profile.expect("a directory").join(name)));
        }
        let mut make = Command::new("make");
        make.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .args(["deb", "rpm"]);
        make.args(["DEB_FLAGS=--fast", "RPM_FLAGS=--payload-compress=gzip"]);
        make.arg(format!("BUILT={}", built.display()));
        run(make.arg(format!("PACKAGES={}", directory.display())));
        let made = |end: &str| {
            let mut names = fs::read_dir(&directory).expect("a directory").flatten();
            let name = names.find(|name| name.path().extension().is_some_and(|own| own == end));
            name.unwrap_or_else(|| panic!("no package .{end} was made"))
                .path()
        };
        (made("deb"), made("rpm"))
    })
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Returns a lab without berth, with a file of the host in it.
fn lab_with(file: &Path, path: &str) -> Lab {
    let lab = Lab::start();
    lab.sh(
        "for file in /usr/libexec/netavark/berth /usr/local/bin/berth*; do
            umount $file
            rm $file
        done",
    );
    let copy = lab.cmd("bash").args(["-c", r#"cat >"$1""#, "bash", path]);
    copy.stdin(fs::read(file).expect("the package")).ok();
    lab
}

#[test]
fn a_debian_package_is_installed_upgraded_and_removed_while_containers_run() {
    let lab = lab_with(&packages().0, "/root/berth.deb");
    lab.sh("dpkg-deb -R /root/berth.deb /root/next
        sed -i '/^Version:/s/$/+next/' /root/next/DEBIAN/control
        dpkg-deb -Znone -b /root/next /root/next.deb");
    let dpkg = |words: &[&str]| lab.cmd("dpkg").args(words);

    dpkg(&["--install", "/root/berth.deb"]).ok();
    let wants = "/etc/systemd/system/timers.target.wants";
    assert!(lab.names(wants).contains(&"berth-gc.timer".to_owned()));
    let others = lab.names(wants).len() - 1;
    // These are for whoever wants them.
    let enable = ["enable", "berth-metrics.timer", "berth-sanitise.timer"];
    lab.cmd("systemctl").args(enable).ok();
    assert_eq!(lab.names(wants).len(), others + 3);
    assert_eq!(dpkg(&["--verify", "berth"]).ok(), "");
    let service = lab
        .cmd("cat")
        .arg("/usr/lib/systemd/system/berth-gc.service")
        .ok();
    assert!(service.contains("ExecStart=/usr/bin/berth gc"), "{service}");
    for file in [
        "/usr/share/bash-completion/completions/berth",
        "/usr/share/doc/berth/examples/berth.conf",
        "/usr/share/zsh/vendor-completions/_berth",
    ] {
        lab.cmd("test").args(["-s", file]).ok();
    }

    lab.network(Driver::Berth, "n", &["--subnet=10.77.0.0/24"]);
    let web = || lab.container("web", &["n"]).ip("10.77.0.10");
    web().start();
    let pid = lab.pid("web");
    let lives_on = || {
        assert_eq!(lab.pid("web"), pid);
        assert_eq!(lab.addresses("web", "eth0"), [ip("10.77.0.10")]);
    };

    dpkg(&["--install", "/root/next.deb"]).ok();
    let version = lab
        .cmd("dpkg-query")
        .args(["--show", "--showformat=${Version}", "berth"]);
    assert!(version.ok().ends_with("+next"));
    lives_on();
    lab.container("other", &["n"]).start();
    lab.remove("other");

    // With berth in front of netavark, nothing else could give its networks addresses.
    lab.network(Driver::HostWide, "plain", &["--subnet=10.78.0.0/24"]);
    let refused = dpkg(&["--remove", "berth"]).run();
    assert!(!refused.status.success(), "{refused}");
    let said = "berth: these networks have their addresses from berth: plain, podman\n";
    assert!(refused.stderr.contains(said), "{refused}");
    lives_on();
    lab.cmd("berth-migrate")
        .args(["rollback", "--yes", "plain", "podman"])
        .ok();

    let removed = dpkg(&["--remove", "berth"]).run();
    assert!(removed.status.success(), "{removed}");
    let said = "berth: these networks have their addresses from berth: n\n";
    assert!(removed.stderr.contains(said), "{removed}");
    assert_eq!(
        lab.names("/usr/local/libexec/podman"),
        [""; 0],
        "the link is gone, too"
    );
    assert_eq!(lab.names("/usr/libexec/netavark"), [""; 0]);
    let left = lab.names(wants);
    assert!(!left.iter().any(|name| name.contains("berth")), "{left:?}");
    assert_eq!(left.len(), others);
    lives_on();
    lab.container("plain", &["plain"]).start();
    lab.remove("plain");

    dpkg(&["--install", "/root/berth.deb"]).ok();
    assert_eq!(
        lab.cmd("berth").args(["list", "--quiet"]).ok(),
        "10.77.0.10"
    );
    lab.remove("web");
    web().start();
    lab.remove("web");
    dpkg(&["--purge", "berth"]).ok();
}

#[test]
fn rpm_takes_its_package() {
    let lab = lab_with(&packages().1, "/root/berth.rpm");
    let rpm = |words: &[&str]| lab.cmd("rpm").args(words).ok();
    let sound = rpm(&[
        "--checksig",
        "--nosignature",
        "--verbose",
        "/root/berth.rpm",
    ]);
    assert!(sound.contains("OK") && !sound.contains("BAD"), "{sound}");
    let query = |what: &[&str]| rpm(&[&["--query", "--package", "/root/berth.rpm"], what].concat());
    let requires = query(&["--requires"]);
    for wanted in ["podman >= 4.5", "netavark >= 1.6", "/bin/sh"] {
        assert!(requires.lines().any(|line| line == wanted), "{requires}");
    }
    let scripts = query(&["--scripts"]);
    for part in [
        "postinstall",
        "preuninstall",
        "postuninstall",
        "host-wide off",
    ] {
        assert!(scripts.contains(part), "{scripts}");
    }
    // Neither Podman nor netavark is an rpm here.
    let add = ["--install", "--nodeps", "--noscripts", "/root/berth.rpm"];
    rpm(&[&["--root", "/srv/fedora"][..], &add].concat());
    let verified = rpm(&["--root", "/srv/fedora", "--verify", "--nodeps", "berth"]);
    assert_eq!(verified, "");
    for file in query(&["--list"]).lines() {
        lab.cmd("test")
            .args(["-s", &format!("/srv/fedora{file}")])
            .ok();
    }
    rpm(&add);
    lab.network(Driver::Berth, "n", &["--subnet=10.77.0.0/24"]);
    lab.container("web", &["n"]).start();
    assert_eq!(
        lab.cmd("/usr/bin/berth").args(["list", "--quiet"]).ok(),
        "10.77.0.2"
    );
    let refuse = lab.cmd("bash").args([
        "-c",
        r#"sh -c "$(rpm -q --queryformat '%{PREUN}' berth)" sh 0"#,
    ]);
    let said = refuse.run();
    assert!(said.status.success(), "{said}");
    assert!(
        said.stderr
            .contains("these networks have their addresses from berth: n"),
        "{said}"
    );
    rpm(&["--erase", "--noscripts", "berth"]);
    assert_eq!(lab.names("/usr/libexec/netavark"), [""; 0]);
}
