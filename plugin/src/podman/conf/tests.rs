#![allow(clippy::unwrap_used)]

use super::*;

/// Files below a temporary root, read with these variables by this user.
struct Host {
    root: tempfile::TempDir,
    uid: u32,
    variables: Vec<(&'static str, String)>,
}

impl Host {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let home = root.path().join("home").to_str().unwrap().to_owned();
        Self {
            root,
            uid: 0,
            variables: vec![("HOME", home)],
        }
    }

    fn variable(mut self, name: &'static str, file: &str) -> Self {
        let path = self.root.path().join(file).to_str().unwrap().to_owned();
        self.variables.push((name, path));
        self
    }

    fn load(&self) -> Result<ContainersConf, ConfError> {
        ContainersConf::load(&Environment::imagined(
            self.root.path(),
            self.uid,
            self.variables.clone(),
        ))
    }

    /// Each file sets its own firewall driver, which shows which file won.
    fn check_winner(&self, expected: Option<&str>) {
        assert_eq!(self.load().unwrap().firewall_driver.as_deref(), expected);
    }

    fn check_error(&self, expected: &str) {
        let error = self.load().unwrap_err();
        let text = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let root = format!("{}/", self.root.path().display());
        assert_eq!(text.replace(&root, ""), expected);
    }
}

fn firewall(name: &str) -> String {
    format!("[network]\nfirewall_driver = \"{name}\"\n")
}

#[test]
fn without_files_podmans_defaults_hold() {
    let conf = Host::new(&[]).load().unwrap();
    assert_eq!(conf.subnet_pools, SubnetPools::default());
    assert_eq!(conf.default_network, "podman");
    assert_eq!(conf.default_subnet, "10.88.0.0/16");
    assert_eq!(conf.network_config_dir, None);
    assert_eq!(conf.firewall_driver, None);
    assert_eq!(
        conf.helper_binaries_dir[2],
        Path::new("/usr/libexec/podman")
    );
    assert_eq!(conf.netavark_plugin_dirs[3], Path::new("/usr/lib/netavark"));
}

#[test]
fn later_files_win_and_each_layer_has_its_place() {
    let layers = [
        "usr/share/containers/containers.conf",
        "usr/share/containers/containers.conf.d/50.conf",
        "etc/containers/containers.conf",
        "etc/containers/containers.conf.d/50.conf",
        "etc/containers/containers.conf.d/60.conf",
        "etc/containers/containers.rootful.conf.d/10.conf",
        "home/.config/containers/containers.conf",
        "home/.config/containers/containers.conf.d/10.conf",
    ];
    let texts: Vec<String> = layers.iter().map(|name| firewall(name)).collect();
    for last in 0..layers.len() {
        let files: Vec<_> = (0..=last)
            .map(|index| (layers[index], texts[index].as_str()))
            .collect();
        Host::new(&files).check_winner(Some(layers[last]));
    }
}

#[test]
fn rootless_directories_are_for_that_user() {
    let files = [
        ("etc/containers/containers.rootful.conf.d/1.conf", "root"),
        ("etc/containers/containers.rootless.conf.d/1.conf", "all"),
        (
            "etc/containers/containers.rootless.conf.d/7/1.conf",
            "seven",
        ),
    ];
    let texts: Vec<String> = files.iter().map(|(_, name)| firewall(name)).collect();
    let files: Vec<_> = files
        .iter()
        .zip(&texts)
        .map(|((path, _), text)| (*path, text.as_str()))
        .collect();
    for (uid, winner) in [(0, "root"), (6, "all"), (7, "seven")] {
        let mut host = Host::new(&files);
        host.uid = uid;
        host.check_winner(Some(winner));
    }
}

#[test]
fn variables_replace_and_override() {
    let (etc, own, over) = (firewall("etc"), firewall("own"), firewall("over"));
    let host = || {
        Host::new(&[
            ("etc/containers/containers.conf", &etc),
            ("own.conf", &own),
            ("over.conf", &over),
            (
                "xdg/containers/containers.conf",
                "[network]\nfirewall_driver = 'xdg'",
            ),
            ("empty.conf", ""),
        ])
    };
    host().check_winner(Some("etc"));
    host()
        .variable("XDG_CONFIG_HOME", "xdg")
        .check_winner(Some("xdg"));
    host()
        .variable("CONTAINERS_CONF", "own.conf")
        .check_winner(Some("own"));
    host()
        .variable("CONTAINERS_CONF", "empty.conf")
        .check_winner(None);
    host()
        .variable("CONTAINERS_CONF", "own.conf")
        .variable("CONTAINERS_CONF_OVERRIDE", "over.conf")
        .check_winner(Some("over"));
    host()
        .variable("CONTAINERS_CONF", "none.conf")
        .check_error(
            "failed to read none.conf, named by $CONTAINERS_CONF: No such file or directory (os error 2)",
        );
}

#[test]
fn only_conf_files_are_drop_ins() {
    Host::new(&[
        ("etc/containers/containers.conf.d/9.conf.bak", "not toml"),
        (
            "etc/containers/containers.conf.d/8.conf/inner.conf",
            "not toml",
        ),
    ])
    .check_winner(None);
}

#[test]
fn lists_replace_earlier_ones_unless_they_append() {
    let check = |first: &str, second: &str, third: &str, expected: &[&str]| {
        let line = |list: &str| {
            if list.is_empty() {
                String::new()
            } else {
                format!("[engine]\nhelper_binaries_dir = {list}\n")
            }
        };
        let host = Host::new(&[
            ("etc/containers/containers.conf", &line(first)),
            ("etc/containers/containers.conf.d/1.conf", &line(second)),
            ("etc/containers/containers.conf.d/2.conf", &line(third)),
        ]);
        let dirs = host.load().unwrap().helper_binaries_dir;
        let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(dirs, expected, "{first} {second} {third}");
    };
    check("['/a']", "['/b']", "", &["/b"]);
    check("['/a']", "['/b', {append=true}]", "", &["/a", "/b"]);
    check(
        "['/a']",
        "[{append=true}, '/b']",
        "['/c']",
        &["/a", "/b", "/c"],
    );
    check(
        "['/a']",
        "['/b', {append=true}]",
        "['/c', {append=false}]",
        &["/c"],
    );
    check("[]", "", "", &[]);
    check(
        "['/x', {append=true}]",
        "",
        "",
        &[
            "/usr/local/libexec/podman",
            "/usr/local/lib/podman",
            "/usr/libexec/podman",
            "/usr/lib/podman",
            "/x",
        ],
    );
}

#[test]
fn subnet_pools_and_directories_are_read() {
    let conf = Host::new(&[(
        "etc/containers/containers.conf",
        r#"
            [containers]
            unknown = { keys = ["are", "ignored"] }
            [network]
            default_subnet_pools = [{"base" = "172.30.0.0/16", "size" = 26}]
            network_config_dir = "/srv/networks"
            default_network = "lan"
            default_subnet = ""
        "#,
    )])
    .load()
    .unwrap();
    assert_eq!(
        conf.subnet_pools
            .free(&["172.30.0.0/26".parse().unwrap()], &[]),
        Some("172.30.0.64/26".parse().unwrap())
    );
    assert_eq!(conf.network_config_dir, Some("/srv/networks".into()));
    assert_eq!(conf.default_network, "lan");
    assert_eq!(conf.default_subnet, "10.88.0.0/16");
}

#[test]
fn a_damaged_file_is_named() {
    let check = |text: &str, expected: &str| {
        Host::new(&[("etc/containers/containers.conf", text)]).check_error(expected);
    };
    check(
        "[network]\nfirewall_driver = 7\n",
        "failed to parse etc/containers/containers.conf line 2: invalid type: integer `7`, expected a string",
    );
    check(
        "[network]\n\nnetavark_plugin_dirs = [7]\n",
        "failed to parse etc/containers/containers.conf line 3: expected a string or {append=true}",
    );
    check(
        "[network]\ndefault_subnet_pools = [{base='10.0.0.0/16',size=8}]",
        "failed to use default_subnet_pools of etc/containers/containers.conf: invalid subnet pool, size 8 is bigger than subnet \"10.0.0.0/16\"",
    );
}

#[test]
fn rootless_is_what_podman_takes_for_it() {
    let rootless = |uid, variables: &[(&str, &str)]| {
        let environment = Environment::imagined("/", uid, variables.iter().copied());
        (environment.rootless(), environment.uid())
    };
    assert_eq!(rootless(0, &[]), (false, 0));
    assert_eq!(rootless(1000, &[]), (true, 1000));
    assert_eq!(
        rootless(
            0,
            &[
                ("_CONTAINERS_USERNS_CONFIGURED", "done"),
                ("_CONTAINERS_ROOTLESS_UID", "1000")
            ]
        ),
        (true, 1000)
    );
}

#[test]
fn comments_are_left_out_and_a_fault_keeps_its_line() {
    let text = "# a\r\nb = \"# c\" # d\n  # e = 'f\n\t#\n\ng = '''\n# h\n'''";
    assert_eq!(uncommented(text), text, "a string may have several lines");
    let short = text.split("\ng").next().unwrap();
    assert_eq!(uncommented(short), "b = \"# c\" # d\n");
    Host::new(&[("etc/containers/containers.conf", "# one\n# two\n[network\n")]).check_error(
        "failed to parse etc/containers/containers.conf line 3: unclosed table, expected `]`",
    );
}
