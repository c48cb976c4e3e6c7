#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::protocol::Network;
use crate::rules::options::Options;

fn settings(files: &[&str]) -> Settings {
    let mut settings = Settings::default();
    for (index, text) in files.iter().enumerate() {
        settings.add(Path::new(&format!("{index}.conf")), text);
    }
    settings
}

fn network(name: &str, options: &[(&str, &str)]) -> Network {
    let options: BTreeMap<_, _> = options.iter().copied().collect();
    serde_json::from_value(serde_json::json!({
        "name": name, "id": "i", "driver": "berth", "options": options,
        "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}],
    }))
    .unwrap()
}

/// Returns the options that a network has with these files.
#[track_caller]
fn applied(files: &[&str], name: &str, own: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut network = network(name, own);
    settings(files).apply(&mut network).unwrap();
    Options::parse(&network).unwrap();
    network.options.into_iter().collect()
}

#[track_caller]
fn check(files: &[&str], own: &[(&str, &str)], expected: &[(&str, &str)]) {
    let expected = expected.iter();
    let expected = expected.map(|(k, v)| (String::from(*k), String::from(*v)));
    assert_eq!(applied(files, "web", own), expected.collect::<Vec<_>>());
}

#[test]
fn the_network_stands_between_the_defaults_and_its_own_section() {
    const DEFAULTS: &str = "[defaults]\nipam_hold = '1h'\nipam_ttl = 600\n";
    const OTHERS: &str = "[network.db]\nipam_hold = '9h'\n";
    const OWN: &str = "[network.web]\nipam_hold = '3h'\n";
    check(&[], &[], &[]);
    check(
        &[DEFAULTS, OTHERS],
        &[],
        &[("ipam_hold", "1h"), ("ipam_ttl", "600")],
    );
    let said = [("ipam_hold", "2h")];
    check(
        &[DEFAULTS],
        &said,
        &[("ipam_hold", "2h"), ("ipam_ttl", "600")],
    );
    check(&[OWN], &said, &[("ipam_hold", "3h")]);
    check(
        &[OWN, DEFAULTS],
        &[],
        &[("ipam_hold", "3h"), ("ipam_ttl", "600")],
    );
    check(
        &[OWN, "[network.web]\nipam_hold = '4h'"],
        &[],
        &[("ipam_hold", "4h")],
    );
}

#[test]
fn exclusions_of_all_sources_count_and_files_win_over_files() {
    const DEFAULTS: &str = "[defaults]\nipam_exclude = ['10.0.0.2', '192.168.0.0/16']\n";
    const OWN: &str = "[network.web]\nipam_exclude = ['10.0.0.4-10.0.0.6']\n";
    let exclude = |list| [("ipam_exclude", list)];
    check(&[DEFAULTS], &[], &exclude("10.0.0.2"));
    let wide = "[defaults]\nipam_exclude = ['10.0.0.200-10.0.1.9', '10.0.0.0/29', 'fd00::/8']";
    check(
        &[wide],
        &[],
        &exclude("10.0.0.200-10.0.0.255, 10.0.0.0-10.0.0.7"),
    );
    check(
        &["[defaults]\nipam_exclude = ['0.0.0.0/0']"],
        &[],
        &exclude("10.0.0.0-10.0.0.255"),
    );
    check(
        &[DEFAULTS, OWN],
        &[("ipam_exclude", "10.0.0.9")],
        &exclude("10.0.0.9, 10.0.0.4-10.0.0.6, 10.0.0.2"),
    );
    let later = "[network.web]\nipam_exclude = ['10.0.0.7']\n";
    check(&[OWN, later], &[], &exclude("10.0.0.7"));
    let appended = "[network.web]\nipam_exclude = ['10.0.0.7', {append=true}]\n";
    check(
        &[OWN, appended],
        &[],
        &exclude("10.0.0.4-10.0.0.6, 10.0.0.7"),
    );
    check(
        &[OWN, appended, later],
        &[],
        &exclude("10.0.0.4-10.0.0.6, 10.0.0.7, 10.0.0.7"),
    );
    check(&[OWN, "[network.web]\nipam_exclude = []\n"], &[], &[]);
}

#[test]
fn of_a_reserved_address_the_file_is_right() {
    let own = "[network.web]\nipam_reserve = ['10.0.0.9=web', '10.0.0.10 # the printer']\n";
    check(
        &[own],
        &[("ipam_reserve", "10.0.0.9=db; 10.0.0.8=db")],
        &[(
            "ipam_reserve",
            "10.0.0.8=db; 10.0.0.9=web; 10.0.0.10 # the printer",
        )],
    );
    let settings = settings(&[own]);
    let item = settings.reserving("web", [10, 0, 0, 10].into()).unwrap();
    assert_eq!(item.origin.to_string(), "0.conf line 2");
    assert!(settings.reserving("web", [10, 0, 0, 8].into()).is_none());
    assert!(settings.reserving("db", [10, 0, 0, 9].into()).is_none());
}

#[test]
fn waits_and_places_are_read() {
    let none = settings(&[]);
    assert_eq!(none.lock_wait(), LOCK_WAIT);
    assert_eq!(none.collection_wait(), COLLECTION_WAIT);
    assert_eq!(none.state_directory(), None);
    let set =
        settings(&["state_directory = '/var/lib/berth'\n[waits]\nlock = '1m'\ncollection = 20"]);
    assert_eq!(set.mistakes, []);
    assert_eq!(set.lock_wait(), Duration::from_secs(60));
    assert_eq!(set.collection_wait(), Duration::from_secs(20));
    assert_eq!(set.state_directory().unwrap().text, "/var/lib/berth");
}

/// Checks what berth says about a file, and which of the networks `web` and `db` it stops.
#[track_caller]
fn check_mistake(text: &str, expected: &str, stops: &[&str]) {
    let settings = settings(&[text]);
    let said: Vec<_> = settings.mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(said, [expected], "{text}");
    let stopped = |name: &&&str| settings.apply(&mut network(name, &[])).is_err();
    let stopped: Vec<_> = ["web", "db"].iter().filter(stopped).copied().collect();
    assert_eq!(stopped, stops, "{text}");
}

#[test]
fn what_may_hide_an_address_stops_whom_it_concerns() {
    let all = ["web", "db"];
    let check = check_mistake;
    check(
        "[defaults\n",
        "0.conf line 1: unclosed table, expected `]`",
        &all,
    );
    check(
        "\nnetwrok.web.ipam_hold = '1h'",
        "0.conf line 2: unknown key \"netwrok\": did you mean network?",
        &all,
    );
    check(
        "[defaults]\nexlude = ['10.0.0.9']",
        "0.conf line 2: unknown key \"exlude\": did you mean ipam_exclude?",
        &all,
    );
    check(
        "[defaults]\nipam_reserve = ['10.0.0.9=web']",
        "0.conf line 2: ipam_reserve belongs in [network.NAME]",
        &all,
    );
    check(
        "[network.web]\ncolour = 'red'",
        "0.conf line 2: unknown key \"colour\": berth knows ipam_cooldown, ipam_hold, ipam_ttl, \
         ipam_order, ipam_exclude, ipam_reserve, ipam_share",
        &["web"],
    );
    check(
        "[network.web]\nipam_exclude = ['10.0.0.9', '10.0.0.x']",
        "0.conf line 2: invalid option ipam_exclude: \"10.0.0.x\" is not an address (10.0.0.9), \
         a range (10.0.0.9-10.0.0.20) or a subnet (10.0.0.16/28)",
        &["web"],
    );
    check(
        "[network.web]\nipam_exclude = '10.0.0.9'",
        "0.conf line 2: ipam_exclude must be a list: put it in [ ]",
        &["web"],
    );
    check(
        "state_directory = 'var/lib/berth'",
        "0.conf line 1: state_directory is \"var/lib/berth\", which is not an absolute path",
        &all,
    );
    check(
        "network = 'web'",
        "0.conf line 1: network must be a table, as in [network]",
        &all,
    );
    check(
        "network.web = 1",
        "0.conf line 1: network.web must be a table",
        &["web"],
    );
}

#[test]
fn a_mistake_in_a_share_stops_the_networks_in_it() {
    let shared = "[network.web]\nipam_share = 'lan'\n";
    let check = |text: &str, said: &str| {
        check_mistake(&format!("{shared}[share.lan]\n{text}"), said, &["web"]);
    };
    check(
        "endpoints = ['10.0.0.1']",
        "0.conf line 4: \"10.0.0.1\" is not an endpoint of etcd: write https://HOST:PORT",
    );
    check(
        "ca = 'ca.pem'",
        "0.conf line 4: ca is \"ca.pem\", which is not an absolute path",
    );
    check(
        "total = '0s'",
        "0.conf line 4: total is \"0s\", which is not a time from 10ms to 1m (500ms, 4s, 1h)",
    );
    check(
        "endpoint = ['https://10.0.0.1']",
        "0.conf line 4: unknown key \"endpoint\": did you mean endpoints?",
    );
    check_mistake(
        "[network.web]\nipam_share = '/'",
        "0.conf line 2: invalid option ipam_share=/: \"/\" cannot be a share's name, which has 1 to \
         63 letters, digits, `-`, `_` or `.`, and begins with a letter or digit",
        &["web"],
    );
    check_mistake(
        "share = 'lan'",
        "0.conf line 1: share must be a table, as in [share]",
        &["web", "db"],
    );
}

#[test]
fn a_bad_time_or_order_stops_nothing() {
    let check = |text, said| check_mistake(text, said, &[]);
    check(
        "[defaults]\nipam_hold = 'soon'",
        "0.conf line 2: invalid option ipam_hold=soon: not a duration; give whole seconds (90) or \
         a number with a unit (90s, 10m, 24h, 7d)",
    );
    check(
        "[network.web]\nipam_order = 'fast'",
        "0.conf line 2: invalid option ipam_order=fast: it must be next or lowest or random",
    );
    check(
        "[waits]\nlock = 0",
        "0.conf line 2: lock is \"0\", which is not a time from 1s to 1h (90, 90s, 10m)",
    );
    check(
        "[defaults]\nipam_ttl = true",
        "0.conf line 2: ipam_ttl must be a string or a number of seconds",
    );
    let settings = settings(&[
        "[defaults]\nipam_hold = '1h'",
        "[defaults]\nipam_hold = 'soon'",
    ]);
    let mut network = network("web", &[]);
    settings.apply(&mut network).unwrap();
    assert_eq!(
        network.options["ipam_hold"], "1h",
        "what was set before counts"
    );
}

#[test]
fn what_lies_outside_of_the_network_is_a_mistake_and_the_rest_counts() {
    let settings = settings(&[
        "[network.web]\nipam_exclude = ['10.0.0.9', '10.9.0.9']\nipam_reserve = ['10.9.0.8=web']",
    ]);
    assert_eq!(settings.mistakes, []);
    let mut network = network("web", &[]);
    let mistake = settings.apply(&mut network).unwrap_err();
    assert_eq!(
        mistake.to_string(),
        "0.conf line 2: invalid option ipam_exclude: 10.9.0.9 is not within a subnet of the \
         network (10.0.0.0/24); exclusions need subnets given with --subnet"
    );
    assert_eq!(network.options["ipam_exclude"], "10.0.0.9");
}

#[test]
fn an_engine_is_one_that_berth_knows_or_counts_as_not_set() {
    assert_eq!(settings(&[]).engine(), None);
    assert_eq!(settings(&["engine = 'sled'"]).engine(), Some("sled"));
    let mistaken = settings(&["engine = 'sledge'"]);
    assert_eq!(mistaken.engine(), None);
    assert_eq!(
        mistaken.mistakes[0].to_string(),
        "0.conf line 1: engine is \"sledge\", which is none of redb, sled"
    );
    assert_eq!(mistaken.mistakes[0].concern, Concern::Nothing);
}
