#![allow(clippy::unwrap_used)]

use std::fs;

use serde_json::json;

use super::*;

#[test]
fn of_a_network_whose_records_cannot_be_read_all_ghosts_are_skipped() {
    let network = json!({"name": "n", "id": "1f2e", "driver": "bridge",
        "subnets": [{"subnet": "10.77.0.0/24", "gateway": "10.77.0.1"}]});
    let mut look = Look::default();
    let network = serde_json::from_value(network).unwrap();
    look.networks.all.insert("n".to_owned(), network);
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("aardvark-dns")).unwrap();
    let names = "10.77.0.1\ndead 10.77.0.9  web\n";
    fs::write(directory.path().join("aardvark-dns/n"), names).unwrap();
    let found = find(directory.path(), &look, None);
    let ghosts: Vec<_> = found.ghosts.iter().map(ToString::to_string).collect();
    assert_eq!(ghosts, ["DNS name web of container dead on network n"]);
    assert_eq!(found.skipped, [""; 0]);
    // Not even root can read a directory as a file.
    let ports = directory.path().join("firewall/ports/1f2e_dead");
    fs::create_dir_all(&ports).unwrap();
    let found = find(directory.path(), &look, None);
    assert_eq!(found.ghosts, []);
    let skipped = format!(
        "what dead containers left on network n, because netavark's records of it cannot be \
         read: failed to read {}: Is a directory (os error 21); make them readable, then run \
         this again",
        ports.display()
    );
    assert_eq!(found.skipped, [skipped]);
}
