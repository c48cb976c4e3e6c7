//! Everything at once, on three hosts. `make torture` does the same for longer.

use std::time::Duration;

use berth_integration::lan::{Kind, Storm};
use berth_integration::seed;

/// How long the storm lasts here; in `make torture` it lasts two minutes.
const LENGTH: Duration = Duration::from_secs(15);

#[test]
fn no_address_is_given_twice_in_a_storm_on_three_hosts() {
    let storm = Storm {
        length: LENGTH,
        seed: seed(),
    };
    let outcome = storm.rage(Kind::Macvlan);
    eprintln!("{outcome}");
    let broken = outcome.broken_promises();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(outcome.succeeded > 0 && outcome.kills > 0 && outcome.collected > 0);
    assert!(
        outcome.dead_nodes + outcome.cuts > 0,
        "etcd was always well"
    );
    assert!(outcome.most > 0, "no sample has seen anybody");
}
