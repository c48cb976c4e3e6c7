#![allow(clippy::unwrap_used)]

use berth::rules::network_config::{Form, hand_back, take_over};

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const ID: &str = "5e94126e8fe1abd2994e547399520cdf473cfe40f0ecbbd2bf13772180dea359";

/// As Podman 5.4 writes it, apart from the fields that neither Podman nor berth knows.
fn podmans() -> String {
    format!(
        r#"{{
     "name": "n",
     "id": "{ID}",
     "driver": "bridge",
     "network_interface": "podman1",
     "created": "2026-11-22T19:43:31.522394516Z",
     "subnets": [
          {{
               "subnet": "10.77.0.0/24",
               "gateway": "10.77.0.1"
          }}
     ],
     "ipv6_enabled": false,
     "from_the_future": {{"number":   18446744073709551615,
  "text": "\u00e9"}},
     "internal": false,
     "dns_enabled": true,
     "ipam_options": {{
          "driver": "host-local"
     }}
}}
"#
    )
}

fn file(text: &str) -> NetworkFile {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("n.json");
    fs::write(&path, text).unwrap();
    NetworkFile::read(&path).unwrap().unwrap()
}

#[test]
fn only_what_changes_is_written_anew() {
    let before = podmans();
    let taken = take_over(file(&before).network, Vec::new(), Form::Plugin).unwrap();
    let after = String::from_utf8(file(&before).rewritten(&taken)).unwrap();
    let expected = before
        .replace(r#""driver": "bridge""#, r#""driver": "berth""#)
        .replace(
            "     \"ipam_options\": {\n          \"driver\": \"host-local\"",
            "     \"options\": {\n          \"driver\": \"bridge\"\n     },\n     \
             \"ipam_options\": {\n          \"driver\": \"berth\"",
        );
    assert_eq!(after, expected);
    let back = hand_back(file(&after).network).unwrap();
    assert_eq!(
        String::from_utf8(file(&after).rewritten(&back)).unwrap(),
        before
    );
}

#[test]
fn a_network_without_a_file_is_written_as_podman_writes() {
    let own = file(&podmans());
    let directory = tempfile::tempdir().unwrap();
    let made = NetworkFile::of_memory(directory.path(), own.network.clone());
    assert!(!made.is_there());
    made.stage(&made.bytes).unwrap().put().unwrap();
    let read = NetworkFile::read(&made.path).unwrap().unwrap();
    assert_eq!(read.network, own.network);
    let text = String::from_utf8(read.bytes).unwrap();
    assert!(text.starts_with(&podmans()[..podmans().find(r#""subnets"#).unwrap()]));
    made.remove().unwrap();
    made.remove().unwrap();
    assert!(NetworkFile::read(&made.path).unwrap().is_none());
}

#[test]
fn what_a_killed_command_has_staged_is_swept_away() {
    let directory = tempfile::tempdir().unwrap();
    for name in [".berth-migrate-x", "n.json"] {
        fs::write(directory.path().join(name), "{}").unwrap();
    }
    sweep(directory.path());
    let mut left = fs::read_dir(directory.path()).unwrap();
    assert_eq!(left.next().unwrap().unwrap().file_name(), "n.json");
    assert!(left.next().is_none());
}

#[test]
fn mode_and_owner_stay_and_nothing_else_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("n.json");
    fs::write(&path, podmans()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let file = NetworkFile::read(&path).unwrap().unwrap();
    drop(file.stage(b"never put in its place").unwrap());
    file.stage(b"{}").unwrap().put().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"{}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_network_to_podman_is_none_to_us() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    fs::write(dir.join("other.json"), podmans()).unwrap();
    fs::write(
        dir.join("short.json"),
        r#"{"name":"short","id":"1","driver":"x"}"#,
    )
    .unwrap();
    fs::write(dir.join("half.json"), r#"{"name":"half""#).unwrap();
    fs::write(dir.join("n.txt"), podmans()).unwrap();
    fs::create_dir(dir.join("d.json")).unwrap();
    fs::write(dir.join("n.json"), podmans()).unwrap();
    let names = |files: Vec<NetworkFile>| -> Vec<String> {
        files.into_iter().map(|file| file.network.name).collect()
    };
    assert_eq!(names(NetworkFile::read_all(dir).unwrap()), ["n"]);
    // By name, though the path `n-2.json` comes before `n.json`.
    let second = podmans().replace(r#""name": "n""#, r#""name": "n-2""#);
    fs::write(dir.join("n-2.json"), second).unwrap();
    assert_eq!(names(NetworkFile::read_all(dir).unwrap()), ["n", "n-2"]);
    let nowhere = NetworkFile::read_all(&dir.join("nowhere")).unwrap();
    assert!(nowhere.is_empty());
}
