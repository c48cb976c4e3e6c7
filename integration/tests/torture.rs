//! Podman, conmon, netavark, berth and containers are killed at random moments. `make torture`
//! does this more often.

use berth_integration::torture::{Plan, Table};
use berth_integration::{Driver, seed, with_driver};

/// How many `podman run` of each kind are killed; of each other death there are a tenth as many.
const COUNT: usize = 25;

with_driver!(
    plugin,
    Berth,
    nothing_is_left_of_killed_containers_after_one_collection
);
with_driver!(
    host_wide,
    HostWide,
    nothing_is_left_of_killed_containers_after_one_collection
);

fn nothing_is_left_of_killed_containers_after_one_collection(driver: Driver) {
    let outcome = Plan::new(COUNT, seed()).carry_out(driver);
    eprintln!("{}", Table(std::slice::from_ref(&outcome)));
    let broken = outcome.broken_promises();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(outcome.hits.len() > COUNT, "next to nobody was killed");
    assert!(
        !outcome.left.is_zero(),
        "there was nothing to collect, so nothing is shown"
    );
}
