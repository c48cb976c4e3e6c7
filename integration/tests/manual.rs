//! What `berth-manual` writes: man pages without a fault, and completions with which real shells
//! complete what exists.

use std::time::Duration;

use berth_integration::{Driver, Lab};

const BASH: &str = "bash --rcfile /root/bashrc -i";
const ZSH: &str = "env ZDOTDIR=/root zsh -i";
const FISH: &str = "fish -C 'function fish_prompt; echo \"READY>\"; end' -i";

/// Returns a lab with the networks `shop` and `six`, a container on each, and what
/// `make install` installs of the manual.
fn scene() -> Lab {
    let lab = Lab::start();
    lab.network(Driver::Berth, "shop", &["--subnet=10.77.0.0/24"]);
    let six = ["--subnet=fd77::/64", "--subnet=10.78.0.0/24"];
    lab.network(Driver::Berth, "six", &six);
    lab.container("web", &["shop"]).start();
    lab.container("box", &["six"]).start();
    lab.cmd("berth-manual").arg("/usr/local/share").ok();
    let prompt = "PS1='READY>'";
    let bash = format!("source /usr/share/bash-completion/bash_completion\n{prompt}\n");
    lab.write("/root/bashrc", &bash);
    let zsh = format!("autoload -U compinit\ncompinit -u\n{prompt}\n");
    lab.write("/root/.zshrc", &zsh);
    lab.write("/root/typed.py", include_str!("typed.py"));
    lab
}

/// Returns what a terminal shows after the first of `words` was typed into a shell, up to the
/// second one.
#[track_caller]
fn typed(lab: &Lab, shell: &str, words: &[&str]) -> String {
    let python = lab.cmd("python3").env("HOME", "/root");
    let python = python.env("XDG_DATA_DIRS", "/usr/local/share:/usr/share");
    let outcome = python.args(["/root/typed.py", shell]).args(words).run();
    assert!(outcome.status.success(), "{outcome}");
    outcome.stdout
}

/// Asserts that a shell turns one line into another when tab is pressed.
#[track_caller]
fn completes(lab: &Lab, shell: &str, keys: &str, line: &str) {
    let shown = typed(lab, shell, &[&format!("{keys}\t"), line]);
    assert!(shown.contains(line), "{keys:?} is shown as {shown:?}");
}

#[test]
fn bash_completes_commands_networks_addresses_and_values() {
    let lab = scene();
    let check = |keys, line| completes(&lab, BASH, keys, line);
    check("berth unr", "berth unreserve ");
    check("berth map sh", "berth map shop ");
    check("berth gc --network=sh", "berth gc --network=shop ");
    check("berth release 10.77", "berth release 10.77.0.2 ");
    check("berth release fd", "berth release fd77::2 ");
    check("berth release fd77:", "berth release fd77::2 ");
    check("berth inspect we", "berth inspect web ");
    check("berth list --filter st", "berth list --filter state=");
    check(
        "berth list --filter state=de",
        "berth list --filter state=dead ",
    );
    check("berth list --filter container=b", "--filter container=box ");
    check("berth map --run-dir /run/cont", "/run/containers/");
    check("berth-migrate adopt si", "berth-migrate adopt six ");
    lab.podman(["network", "create", "later"]).ok();
    check("berth-migrate rollback la", "berth-migrate rollback later ");
    let shown = typed(&lab, BASH, &["berth map la\t"]);
    assert!(!shown.contains("later"), "it is not berth's: {shown:?}");
}

#[test]
fn zsh_completes_at_the_first_tab() {
    let lab = scene();
    completes(&lab, ZSH, "berth map sh", "berth map shop ");
    completes(&lab, ZSH, "berth list --filter state=de", "state=dead ");
    completes(
        &lab,
        ZSH,
        "berth-migrate sanitise --network si",
        "--network six ",
    );
}

#[test]
fn fish_completes() {
    let lab = scene();
    completes(&lab, FISH, "berth map sh", "berth map shop ");
    completes(
        &lab,
        FISH,
        "berth-migrate adopt si",
        "berth-migrate adopt six ",
    );
    let told = lab.cmd("fish").env("XDG_DATA_DIRS", "/usr/local/share");
    let told = told.args(["-c", "complete -C 'berth release '"]).ok();
    assert!(told.contains("10.77.0.2\tweb on shop"), "{told}");
}

/// Returns the words that bash gets. They must come quickly and without any other output.
#[track_caller]
fn answer(lab: &Lab, words: &[&str]) -> Vec<String> {
    let index = (words.len() - 1).to_string();
    let ask = lab.cmd("berth").env("_BERTH_COMPLETE", "bash");
    let ask = ask.env("_CLAP_COMPLETE_INDEX", &index).arg("--");
    let outcome = ask.args(words).run();
    assert!(outcome.status.success(), "{outcome}");
    assert_eq!(outcome.stderr, "", "{outcome}");
    assert!(outcome.took < Duration::from_millis(1500), "{outcome}");
    outcome.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn completing_says_nothing_else_and_waits_for_nobody() {
    let lab = scene();
    let release = ["berth", "release", "1"];
    assert_eq!(answer(&lab, &release), ["10.77.0.2", "10.78.0.2"]);
    let lock = "/run/containers/networks/berth/lock";
    let busy = lab.cmd("flock").args([lock, "sleep", "20"]).spawn();
    lab.sh(&format!(
        "until ! flock -n {lock} true; do sleep 0.01; done"
    ));
    assert_eq!(answer(&lab, &release), [""; 0]);
    assert_eq!(answer(&lab, &["berth", "map", "s"]), ["shop", "six"]);
    lab.sh("kill $(pgrep -x sleep -P $(pgrep -x flock))");
    busy.wait();
    assert_eq!(answer(&lab, &release), ["10.77.0.2", "10.78.0.2"]);

    lab.write("/etc/containers/networks/broken.json", "{");
    assert_eq!(answer(&lab, &["berth", "map", "s"]), ["shop", "six"]);
    lab.sh("echo nonsense >/run/containers/networks/berth/leases.redb/db");
    assert_eq!(answer(&lab, &release), [""; 0]);
    lab.write("/etc/containers/containers.conf", "[network\n");
    assert_eq!(answer(&lab, &["berth", "map", "s"]), [""; 0]);

    // The variable alone never fools the plugin.
    let info = lab.cmd("berth").env("_BERTH_COMPLETE", "bash").arg("info");
    assert!(info.ok().contains("api_version"));
}

#[test]
fn a_user_completes_without_entering_the_namespaces_of_podman() {
    let lab = Lab::start();
    let user = lab.user();
    user.network(Driver::Berth, "own", &["--subnet=10.79.0.0/24"]);
    user.container("web", &["own"]).start();
    assert_eq!(answer(&user, &["berth", "map", "o"]), ["own"]);
    assert_eq!(answer(&user, &["berth", "release", "1"]), ["10.79.0.2"]);
}

#[test]
fn man_pages_are_whole_and_without_fault() {
    let lab = Lab::start();
    lab.cmd("berth-manual").arg("/usr/local/share").ok();
    for name in ["man1/berth.1", "man1/berth-migrate.1", "man5/berth.conf.5"] {
        let page = format!("/usr/local/share/man/{name}");
        let groff = lab
            .cmd("groff")
            .args(["-man", "-Tutf8", "-ww", "-z", &page]);
        let outcome = groff.run();
        assert!(outcome.status.success(), "{outcome}");
        assert_eq!(outcome.stderr, "", "{outcome}");
        let lint = lab
            .cmd("mandoc")
            .args(["-T", "lint", "-W", "warning", &page]);
        let lint = lint.run().stdout;
        let faults: Vec<_> = lint
            .lines()
            .filter(|line| !line.contains("missing date"))
            .collect();
        assert_eq!(faults, [""; 0]);
    }
    let shown = |name: &str| {
        let page = format!("/usr/local/share/man/man1/{name}.1");
        lab.cmd("mandoc")
            .args(["-T", "ascii", "-O", "width=200", &page])
            .ok()
            .replace('\u{8}', "")
    };
    for name in ["berth", "berth-migrate"] {
        let help = lab.cmd(name).arg("--help").ok();
        let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let commands = commands.take_while(|line| !line.is_empty());
        let commands = commands.filter_map(|line| line.split_whitespace().next());
        let page = lab
            .cmd("cat")
            .arg(format!("/usr/local/share/man/man1/{name}.1"))
            .ok();
        for command in commands.filter(|command| *command != "help") {
            let heading = format!(".SS {name} {command}\n").replace('-', "\\-");
            assert!(page.contains(&heading), "{heading} is not in {name}.1");
        }
    }
    assert!(shown("berth").contains("BERTH_STATE_DIR"));
    assert!(shown("berth-migrate").contains("ipam.db.berth-<time>"));
}
