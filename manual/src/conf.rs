//! The man page of berth.conf, with the keys that berth knows.

use std::fmt::Write;

use berth::rules::settings::keys::{DEFAULTS, GENERAL, Key, NETWORK, SHARE, WAITS};

use super::page::{escaped, head, text, tidy};

const NAME: &str = "berth.conf - what berth does on this host, for every network or for one";

const DESCRIPTION: &str = "\
berth.conf is TOML. Files are layered as those of containers.conf(5): a later one wins key by \
key. A list replaces that of the files before, unless it has {append=true} in it.

In a network, [network.NAME] comes before what the network itself says (podman network create \
-o), and that before [defaults]. Of ipam_exclude and ipam_reserve, everything counts that is \
said anywhere. So networks that Podman made need no options of berth's. The option driver is \
not among the keys: it is what a network is made of.

A change counts from the next start of a container. berth config prints what is set, and where.";

const MISTAKES: &str = "\
An unknown key, a list that cannot be understood, a file that is no TOML or cannot be read: any \
of these may hide that an address is not berth's to give. Then berth leases none, and says in \
one line which file and line to mend. An address given by mistake would break somebody else, \
silently. In [network.NAME], a mistake stops that network alone. A time or an order that cannot \
be understood counts as not set; a warning says so.

While a file cannot be read, berth does not know where the leases are: a stopped container's \
interface is removed, and its lease goes with the first collection after the repair.

For root, a file counts only if it and its directory belong to root and nobody else can write \
there; otherwise it is a mistake, too. berth doctor reports every mistake, and sections for \
networks that there are not.";

const FILES: [&str; 4] = [
    "/usr/share/containers/berth.conf",
    "/etc/containers/berth.conf",
    "/etc/containers/berth.conf.d/*.conf",
    "$XDG_CONFIG_HOME/containers/berth.conf, $XDG_CONFIG_HOME/containers/berth.conf.d/*.conf",
];

const MORE_FILES: &str = "\
In this order; without XDG_CONFIG_HOME, in ~/.config. BERTH_CONF=FILE replaces them all, \
BERTH_CONF_OVERRIDE=FILE comes last. berth.conf.d beside the first, and berth.rootful.conf.d and \
berth.rootless.conf.d beside it in /usr/share and /etc, are read as containers.conf's are.";

const EXAMPLE: &str = r#"[defaults]
ipam_hold = "7d"
ipam_exclude = ["192.168.1.1-192.168.1.99"]

[network.web]
ipam_exclude = ["10.50.0.200-10.50.0.220"]
ipam_reserve = ["10.50.0.9=proxy", "10.50.0.10 # the printer"]

[share.lan]
endpoints = ["https://etcd1.example:2379", "https://etcd2.example:2379"]
ca = "/etc/berth/ca.pem"
certificate = "/etc/berth/host.pem"
key = "/etc/berth/host.key"

[network.lan]
ipam_share = "lan""#;

/// Returns the page.
pub(crate) fn page() -> String {
    let mut page = head("berth.conf", 5);
    section(&mut page, "NAME", NAME);
    section(&mut page, "DESCRIPTION", DESCRIPTION);
    for (title, keys) in [
        ("KEYS BEFORE ALL TABLES", GENERAL),
        ("[waits]", WAITS),
        ("[defaults]", DEFAULTS),
        ("[network.NAME]", NETWORK),
        ("[share.NAME]", SHARE),
    ] {
        let _ = writeln!(page, ".SH {}", escaped(title));
        keys.iter().for_each(|key| entry(&mut page, key));
    }
    page.push_str(
        ".PP\nTimes are whole seconds (90) or numbers with a unit (\"90s\", \"10m\", \"24h\", \
         \"7d\").\n",
    );
    section(&mut page, "MISTAKES", MISTAKES);
    page.push_str(".SH FILES\n.nf\n");
    FILES.iter().for_each(|file| line(&mut page, file));
    page.push_str(".fi\n.PP\n");
    line(&mut page, MORE_FILES);
    page.push_str(".SH EXAMPLE\n.nf\n");
    EXAMPLE.lines().for_each(|text| line(&mut page, text));
    page.push_str(".fi\n.SH SEE ALSO\n");
    page.push_str("\\fBberth\\fR(1), \\fBcontainers.conf\\fR(5)\n");
    tidy(&page)
}

fn section(page: &mut String, title: &str, body: &str) {
    let _ = writeln!(page, ".SH {title}");
    body.lines().for_each(|text| line(page, text));
}

fn line(page: &mut String, said: &str) {
    page.push_str(&text(said));
    page.push('\n');
}

fn entry(page: &mut String, key: &Key) {
    let _ = writeln!(page, ".TP\n\\fB{}\\fR", escaped(key.name));
    line(page, &format!("{} Default: {}.", key.about, key.default));
}
