#![allow(clippy::unwrap_used)]

use std::fs::FileTimes;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use super::*;

const SHORT: Duration = Duration::from_millis(30);

/// Another process that has the file locked, until it is dropped.
struct Holder(std::process::Child);

impl Holder {
    fn of(path: &Path, kind: &str) -> Self {
        let mut child = Command::new("flock")
            .args([kind, "--no-fork"])
            .arg(path)
            .args(["sh", "-c", "echo held; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 5];
        let stdout = child.stdout.as_mut().unwrap();
        stdout.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"held\n");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn whoever_keeps_the_lock_is_named_and_readers_share_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ipam.db");
    fs::write(&path, "not a database").unwrap();
    let writer = Holder::of(&path, "--exclusive");
    let named = format!("locked by pid {} (", writer.0.id());
    let error = IpamFile::open(&path, SHORT).unwrap_err().to_string();
    assert!(error.contains(&named), "{error}");
    let error = read(&path, SHORT).unwrap_err().to_string();
    assert!(error.contains(&named), "{error}");
    drop(writer);
    let reader = Holder::of(&path, "--shared");
    assert_eq!(read(&path, SHORT).unwrap(), b"not a database");
    assert!(IpamFile::open(&path, SHORT).is_err());
    drop(reader);
    let file = IpamFile::open(&path, SHORT).unwrap().unwrap();
    assert!(matches!(file.content(), Err(FileError::Damaged { .. })));
    assert!(read(&path, SHORT).is_err(), "we have it");
}

#[test]
fn nothing_is_created_by_accident() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ipam.db");
    assert!(IpamFile::open(&path, SHORT).unwrap().is_none());
    assert!(read(&path, SHORT).is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_backup_keeps_time_and_mode_and_no_earlier_one_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ipam.db");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let times = FileTimes::new().set_modified(long_ago);
    File::open(&path).unwrap().set_times(times).unwrap();
    let file = IpamFile::open(&path, SHORT).unwrap().unwrap();
    let copies: Vec<_> = (0..5).map(|_| file.back_up().unwrap()).collect();
    for copy in &copies {
        assert_eq!(fs::read(copy).unwrap(), b"old");
        let metadata = copy.metadata().unwrap();
        assert_eq!(metadata.modified().unwrap(), long_ago);
        assert_eq!(metadata.mode() & 0o7777, 0o640);
        let name = copy.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("ipam.db.berth-20"), "{name}");
    }
    let names = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(names, 1 + copies.len(), "and nothing else is left");
}

#[test]
fn ten_copies_are_kept_and_nothing_else_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let path = at("ipam.db");
    let others = [
        "ipam.db.berth-mine",
        "ipam.db.berth-2025-01-01T00-00-00Z-mine",
        "ipam.db.berth-2025-01-01T00-00-00Z-",
        "other.db.berth-2025-01-01T00-00-00Z",
    ];
    let copies: Vec<_> = (10..22)
        .map(|second| format!("ipam.db.berth-2026-01-31T02-00-{second}Z"))
        .chain(["ipam.db.berth-2026-01-31T02-00-21Z-2".to_owned()])
        .collect();
    for name in others
        .iter()
        .copied()
        .chain(copies.iter().map(String::as_str))
    {
        fs::write(at(name), "").unwrap();
    }
    fs::write(&path, "").unwrap();
    let file = IpamFile::open(&path, SHORT).unwrap().unwrap();
    file.drop_old_copies();
    file.drop_old_copies();
    for name in others
        .iter()
        .copied()
        .chain(copies[3..].iter().map(String::as_str))
    {
        assert!(at(name).exists(), "{name}");
    }
    for name in &copies[..3] {
        assert!(!at(name).exists(), "{name}");
    }
}

#[test]
fn a_file_put_in_its_place_meanwhile_is_the_one_that_is_locked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ipam.db");
    fs::write(&path, "old").unwrap();
    let holder = Holder::of(&path, "--exclusive");
    let waiting = {
        let path = path.clone();
        std::thread::spawn(move || IpamFile::open(&path, Duration::from_secs(20)))
    };
    fs::write(directory.path().join("new"), "new").unwrap();
    fs::rename(directory.path().join("new"), &path).unwrap();
    drop(holder);
    let file = waiting.join().unwrap().unwrap().unwrap();
    assert_eq!(file.bytes().unwrap(), b"new");
}
