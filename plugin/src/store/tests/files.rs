//! The files of a store: which are refused, which are cleared away, and what is noticed.

use std::fs;

use super::*;

/// Returns every file below a directory with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_store_we_must_not_touch_is_refused_and_left_alone() {
    on_every_engine(|place| {
        let path = place.store();
        let name = path.file_name().unwrap().to_str().unwrap();
        let whole = || place.open(BOOT, 1, |store| good(&store));
        let check = |spoil: &dyn Fn(), expected: &str| {
            let _ = fs::remove_dir_all(&path);
            whole();
            spoil();
            let before = files(&path);
            let error = place.refusal().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(files(&path), before, "{expected}");
        };
        let write = |name: &str, text: &str| fs::write(path.join(name), text).unwrap();
        let remove = |name: &str| fs::remove_file(path.join(name)).unwrap();
        let missing = |file: &str| format!("{name}/{file} is missing");
        check(
            &|| write("format", "2\n"),
            &format!(
                "{name} has format 2, but this berth knows formats up to 1; use the newer berth"
            ),
        );
        check(&|| write("format", "0\n"), "cannot read");
        check(&|| write("format", "1"), "cannot read");
        check(&|| write("format", "one\n"), "cannot read");
        check(&|| remove("format"), &missing("format"));
        check(&|| remove("db"), &missing("db"));
        check(&|| write("db", ""), "cannot read");
        if place.engine == EngineKind::Redb {
            check(&|| write("db", "redb? no"), "redb cannot open it");
        }
        if place.engine == EngineKind::Sled {
            check(&|| remove("conf"), &missing("conf"));
            check(&|| write("conf", ""), "cannot read");
            check(
                &|| write("conf", "segment_size: 524288\nuse_compression: false\n"),
                "cannot read",
            );
            check(
                &|| fs::remove_dir(path.join("blobs")).unwrap(),
                &missing("blobs"),
            );
        }
        let empty = || {
            fs::remove_dir_all(&path).unwrap();
            fs::create_dir(&path).unwrap();
        };
        check(&empty, &missing("format"));
        let file = || {
            fs::remove_dir_all(&path).unwrap();
            fs::create_dir(&path).unwrap();
            fs::write(path.join("format"), "1\n").unwrap();
        };
        let first = match place.engine {
            EngineKind::Redb => "db",
            EngineKind::Sled => "conf",
        };
        check(&file, &missing(first));
    });
}

#[test]
fn what_killed_processes_leave_is_cleared_away() {
    on_every_engine(|place| {
        let unfinished = place.store().with_extension(match place.engine {
            EngineKind::Redb => "redb.new",
            EngineKind::Sled => "sled.new",
        });
        fs::create_dir_all(unfinished.join("blobs")).unwrap();
        fs::write(unfinished.join("conf"), "segm").unwrap();
        place.open(BOOT, 1, |store| good(&store));
        assert!(!unfinished.exists());
        if place.engine != EngineKind::Sled {
            return;
        }
        let generating = place.store().join("snap.FFFFFFFFFFFFFFFF.generating");
        fs::write(&generating, "").unwrap();
        place.open(BOOT, 1, |store| {
            assert_eq!(store.begin().tenants(&web()).unwrap().len(), 2);
        });
        assert!(!generating.exists());
    });
}

#[test]
fn a_store_that_has_gone_back_is_damaged_until_the_next_boot() {
    on_every_engine(|place| {
        let path = place.store();
        place.open(BOOT, 1, |store| good(&store));
        let early = files(&path);
        let commit = || {
            place.open(BOOT, 1, |store| {
                let mut transaction = store.begin();
                transaction
                    .set_cursor(&web(), pool().subnet(), ip("10.0.0.5"))
                    .unwrap();
                transaction.commit(at(20)).unwrap();
            });
        };
        commit();
        for file in files(&path).into_keys() {
            if !file.ends_with("witness") {
                fs::remove_file(file).unwrap();
            }
        }
        for (file, bytes) in early {
            if !file.ends_with("witness") {
                fs::write(file, bytes).unwrap();
            }
        }
        let error = place.refusal().to_string();
        assert!(error.contains("its last commits are missing"), "{error}");
        // A power failure may take what was not synced, and no process survives it.
        let witness = fs::read(path.join("witness")).unwrap();
        place.open("another boot", 1, |store| {
            assert_eq!(store.check().unwrap(), []);
        });
        commit();
        // An unreadable witness knows nothing.
        for text in [
            &b""[..],
            b"00000000 00000000000000000099 boot\n",
            &witness[1..],
        ] {
            fs::write(path.join("witness"), text).unwrap();
            commit();
        }
    });
}

#[test]
fn where_the_file_system_refuses_the_error_says_where() {
    on_every_engine(|place| {
        let blocked = place.path().join("file");
        fs::write(&blocked, "").unwrap();
        let error = LockFile::open(&blocked.join("berth")).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!(
                "failed to create state directory {}/berth",
                blocked.display()
            )
        );
        let error = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.contains("Not a directory"), "{error}");
    });
}

/// A killed process may have the file open a little longer than our lock.
#[test]
fn a_store_that_somebody_has_open_is_waited_for_and_then_refused() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place {
        dir,
        engine: EngineKind::Redb,
    };
    place.open(BOOT, 1, |store| good(&store));
    let hold = || redb::Database::open(place.store().join("db")).unwrap();
    let held = hold();
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(held);
    });
    place.open(BOOT, 1, |store| assert_eq!(store.check().unwrap(), []));
    other.join().unwrap();
    let _held = hold();
    let error = crate::chain(&place.refusal());
    assert!(
        error.contains("failed to open lease store") && error.contains("already open"),
        "{error}"
    );
}
