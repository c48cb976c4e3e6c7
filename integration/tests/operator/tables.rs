//! Tables and maps of all addresses.

use super::{berth, columns, json, scene};

#[test]
fn a_list_says_who_has_which_address_and_whether_they_are_alive() {
    let (lab, network) = scene();
    let table = berth(&lab, &["list"]).ok();
    assert_eq!(
        columns(&table, &[0, 1, 3, 4, 5]),
        [
            "ADDRESS NETWORK NAME KIND STATE",
            "10.77.0.2 n one dynamic live",
            "10.77.0.20 n two static live",
            "10.77.0.99 n ghost static dead",
        ]
    );
    assert_eq!(berth(&lab, &["ls"]).ok().lines().count(), 4);
    let all = berth(&lab, &["list", "--all", "--noheading"]).ok();
    assert_eq!(all.lines().count(), 5, "{all}");
    assert!(all.contains("10.77.0.50 "), "{all}");
    assert!(all.contains("10.77.0.200-10.77.0.220"), "{all}");

    let quiet = berth(&lab, &["ls", "-q", "--filter", "state=dead"]).ok();
    assert_eq!(quiet, "10.77.0.99");
    let held = ["ls", "-q", "--filter", "container=stopped"];
    assert_eq!(berth(&lab, &held).ok(), "", "it has no lease");
    let held = [
        "ls",
        "-q",
        "--filter",
        "state=cooldown",
        "--filter",
        "state=held",
    ];
    assert_eq!(berth(&lab, &held).ok(), "10.77.0.50");
    let of_network = ["ls", "-q", "--network", &network.id, "--sort", "container"];
    assert_eq!(
        berth(&lab, &of_network).ok(),
        "10.77.0.99\n10.77.0.2\n10.77.0.20"
    );

    let list = json(&lab, &["list", "--all", "--format", "json"]);
    let entry = |address: &str| {
        let mut entries = list.as_array().expect("a list").iter();
        let found = entries.find(|entry| entry["address"] == address);
        found.unwrap_or_else(|| panic!("no {address} in {list:#}"))
    };
    let ghost = entry("10.77.0.99");
    assert_eq!(
        (&ghost["state"], &ghost["kind"]),
        (&"dead".into(), &"static".into())
    );
    assert_eq!(ghost["subnet"], "10.77.0.0/24");
    assert_eq!(
        ghost["reason"],
        "no process is in its namespace and nothing is starting it"
    );
    let one = entry("10.77.0.2");
    let id = lab.podman(["inspect", "--format={{.Id}}", "one"]).ok();
    assert_eq!(one["container_id"], *id);
    assert!(
        one["reason"]
            .as_str()
            .expect("a text")
            .contains("lives in its namespace")
    );
    assert!(one["expires_in_seconds"].as_u64() > Some(3000), "{one}");
    assert_eq!(entry("10.77.0.50")["container_name"], "stopped");

    let format = [
        "ls",
        "--format",
        "{{.Address}} {{.ContainerName}}",
        "-f",
        "container=two",
    ];
    assert_eq!(berth(&lab, &format).ok(), "10.77.0.20 two");
    let whole = [
        "ls",
        "--no-trunc",
        "--noheading",
        "--filter",
        "address=10.77.0.2",
    ];
    assert!(berth(&lab, &whole).ok().contains(&id));
    assert!(!table.contains('\u{1b}'), "no colour but on a terminal");
}

#[test]
fn a_list_is_coloured_on_a_terminal() {
    let (lab, _) = scene();
    let typed = |env: &str| {
        let line = format!("{env} TERM=xterm berth list");
        lab.cmd("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .ok()
    };
    assert!(typed("").contains("\u{1b}["));
    assert!(!typed("NO_COLOR=1").contains("\u{1b}["));
}

#[test]
fn a_map_shows_every_address() {
    let (lab, _) = scene();
    berth(&lab, &["reserve", "10.77.0.30", "--network=n", "--for=web"]).ok();
    let text = berth(&lab, &["map", "n"]).env("COLUMNS", "100").ok();
    assert_eq!(
        text,
        "\
10.77.0.0/24 on network n

10.77.0.0    -G█····· ········ ····█··· ······R· ········ ········ ··~····· ········
10.77.0.64   ········ ········ ········ ········ ···×···· ········ ········ ········
10.77.0.128  ········ ········ ········ ········ ········ ········ ········ ········
10.77.0.192  ········ -------- -------- -----··· ········ ········ ········ ·······-

█ 2 live   × 1 dead   ~ 1 cooling down   R 1 reserved   G 1 gateway   - 23 excluded   · 227 free
256 addresses, 231 to lease: 3 leased (1%), 227 free"
    );
    let map = json(&lab, &["map", "--format=json", "n"]);
    let subnet = &map["subnets"][0];
    assert_eq!(
        (&subnet["cell_prefix"], &subnet["free"]),
        (&32.into(), &227.into())
    );
    let cell = &subnet["rows"][3]["cells"][3];
    assert_eq!(
        (&cell["first"], &cell["state"]),
        (&"10.77.0.99".into(), &"dead".into())
    );
    assert_eq!(cell["who"][0], "10.77.0.99 dead ghost");

    let svg = berth(&lab, &["map", "--format=svg", "n"]).ok();
    assert!(
        svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" ") && svg.ends_with("</svg>")
    );
    assert!(svg.contains("<title>10.77.0.99 dead ghost</title>"));
    let html = berth(&lab, &["map", "--format=html", "n"]).ok();
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>"));
    assert!(html.contains("no process is in its namespace and nothing is starting it"));
    lab.write("/tmp/map.svg", &svg);
    let parse = "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])";
    lab.cmd("python3").args(["-c", parse, "/tmp/map.svg"]).ok();
}
