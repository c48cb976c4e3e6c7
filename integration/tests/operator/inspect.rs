//! Everything about one address or container.

use serde_json::Value;

use super::{berth, json, refused, scene};

#[test]
fn everything_is_told_with_the_evidence() {
    let (lab, network) = scene();
    let ghost = json(&lab, &["inspect", "10.77.0.99"]);
    assert_eq!(ghost.as_array().map(Vec::len), Some(1));
    let (ghost, lease) = (&ghost[0], &ghost[0]["lease"]);
    assert_eq!(
        (&ghost["type"], &ghost["state"]),
        (&"address".into(), &"dead".into())
    );
    assert_eq!(
        lease["request"]["network_options"]["static_ips"][0],
        "10.77.0.99"
    );
    let evidence = &lease["evidence"];
    assert_eq!(
        evidence["inhabitants"],
        Value::Array(vec![]),
        "{evidence:#}"
    );
    assert_eq!(evidence["namespace"]["now"], "as it was");
    assert_eq!(evidence["same_boot"], true);

    let all = json(&lab, &["inspect", "two", "stopped"]);
    let (two, stopped) = (&all[0], &all[1]);
    assert_eq!(
        (&two["type"], &two["container_name"]),
        (&"container".into(), &"two".into())
    );
    let evidence = &two["leases"][0]["evidence"];
    let pid = lab.pid("two");
    assert_eq!(evidence["inhabitants"][0]["pid"], pid);
    let interfaces = evidence["interfaces"].as_array().expect("a list").iter();
    let eth0 = interfaces.clone().find(|link| link["name"] == "eth0");
    assert_eq!(eth0.expect("an eth0")["addresses"][0], "10.77.0.20");
    assert_eq!(stopped["leases"], Value::Array(vec![]));
    assert_eq!(stopped["reservations"][0]["address"], "10.77.0.50");
    let id = two["container_id"].as_str().expect("an id");
    assert_eq!(
        json(&lab, &["inspect", &id[..12]])[0]["container_name"],
        "two"
    );

    let of_network = json(&lab, &["inspect", "n"]);
    let (whole, subnet) = (&of_network[0], &of_network[0]["subnets"][0]);
    assert_eq!(
        (&whole["type"], &whole["id"]),
        (&"network".into(), &network.id.clone().into())
    );
    assert_eq!(whole["plumbing"], "bridge");
    let counts = [&subnet["addresses"], &subnet["leasable"], &subnet["free"]];
    assert_eq!(counts, [256, 232, 228]);
    assert_eq!(
        (&subnet["states"]["live"], &subnet["states"]["dead"]),
        (&2.into(), &1.into())
    );
    assert_eq!(whole["addresses"].as_array().map(Vec::len), Some(5));

    let words = ["inspect", "--format", "{{.State}}: {{.Reason}}"];
    let said = |address| berth(&lab, &words).arg(address).ok();
    assert_eq!(
        said("10.77.0.1"),
        "gateway: it is the gateway of 10.77.0.0/24"
    );
    assert_eq!(said("10.77.0.77"), "free: the next container may get it");
    assert_eq!(
        said("10.77.0.201"),
        "excluded: the network's option ipam_exclude names it"
    );
    refused(
        &lab,
        &["inspect", "--format", "{{.State}}", "nobody"],
        1,
        "berth knows no container and no network \"nobody\"; `berth list --all` shows what it \
         knows",
    );
    refused(
        &lab,
        &["inspect", "--format", "{{.State}}", "10.99.0.1"],
        1,
        "no network of berth's covers 10.99.0.1; `berth list --all` shows what berth knows",
    );
    let some = berth(
        &lab,
        &["inspect", "--format={{.State}}", "10.77.0.99", "nobody"],
    )
    .run();
    assert_eq!(
        (some.status.code(), &*some.stdout),
        (Some(1), "dead\n"),
        "{some}"
    );
}
