//! A change of engine, killed after each of its steps.

use std::fs;

use super::*;

/// The other engine.
fn other(place: &Place) -> EngineKind {
    let mut all = EngineKind::ALL.into_iter();
    all.find(|kind| *kind != place.engine).unwrap()
}

/// Returns the contents of the store, byte for byte.
fn contents(place: &Place) -> (EngineKind, Vec<crate::store::engine::Entry>) {
    place.open(BOOT, 1, |store| {
        assert_eq!(store.check().unwrap(), []);
        (store.kind(), store.begin().overlay.scan(&[]).unwrap())
    })
}

fn names(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Copies a store, its directory included.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn everything_is_in_the_new_store_and_goes_on_from_there() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| good(&store));
        let (_, before) = contents(place);
        let to = other(place);
        place.open(BOOT, 1, |store| store.change_engine(to).unwrap());
        assert_eq!(
            names(place),
            [format!("leases.{}", to.name()), "lock".into()]
        );
        assert_eq!(contents(place), (to, before.clone()));
        place.open(BOOT, 1, |store| store.change_engine(to).unwrap());
        assert_eq!(contents(place), (to, before.clone()));
        place.open(BOOT, 1, |store| store.change_engine(place.engine).unwrap());
        assert_eq!(contents(place), (place.engine, before));
        place.open(BOOT, 1, |store| delete_lease(&store));
    });
}

#[test]
fn a_kill_after_any_step_leaves_one_store_that_holds_everything() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| good(&store));
        let (_, before) = contents(place);
        let (from, to) = (place.engine, other(place));
        let (old, new) = (from.store_in(place.path()), to.store_in(place.path()));
        let worthless = |kind: EngineKind| {
            let name = format!("leases.{}.new", kind.name());
            place.path().join(name)
        };
        let kept = place.path().with_extension("kept");
        copy(&old, &kept);
        let changed = |mark: bool| {
            place.open(BOOT, 1, |store| store.change_engine(to).unwrap());
            assert!(!new.join("replaces").exists());
            if mark {
                fs::write(new.join("replaces"), from.name()).unwrap();
            }
        };
        let back = || {
            for path in [&old, &new, &worthless(from), &worthless(to)] {
                let _ = fs::remove_dir_all(path);
            }
            copy(&kept, &old);
        };
        let check = |what: &str, kind: EngineKind| {
            assert_eq!(contents(place), (kind, before.clone()), "{what}");
            let mut left = names(place);
            // The next store made there will replace it.
            left.retain(|name| *name != format!("leases.{}.new", to.name()));
            assert_eq!(
                left,
                [format!("leases.{}", kind.name()), "lock".into()],
                "{what}"
            );
            assert!(!kind.store_in(place.path()).join("replaces").exists());
            let open = |store: Store<'_>| store.change_engine(to).unwrap();
            place.open(BOOT, 1, open);
            assert_eq!(contents(place), (to, before.clone()), "{what}");
            back();
        };
        fs::create_dir(worthless(to)).unwrap();
        fs::write(worthless(to).join("db"), "half a store").unwrap();
        check("X1 began", from);

        changed(true);
        fs::rename(&new, worthless(to)).unwrap();
        copy(&kept, &old);
        check("X1", from);

        changed(true);
        copy(&kept, &old);
        check("X2", to);

        changed(true);
        copy(&kept, &worthless(from));
        fs::remove_file(worthless(from).join("db")).unwrap();
        check("X3 began", to);

        changed(true);
        check("X3", to);

        changed(false);
        check("X4", to);
        fs::remove_dir_all(&kept).unwrap();
    });
}

/// A copy was put back beside the store.
#[test]
fn of_two_stores_neither_counts_until_a_rebuild_moves_both_aside() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| good(&store));
        let kept = place.path().with_extension("kept");
        copy(&place.store(), &kept);
        place.open(BOOT, 1, |store| store.change_engine(other(place)).unwrap());
        fs::rename(&kept, place.store()).unwrap();
        let error = place.refusal().to_string();
        let [first, second] = EngineKind::ALL.map(|kind| kind.store_in(place.path()));
        let expected = format!(
            "lease store {} is damaged: {} is beside it; `berth rebuild`",
            first.display(),
            second.display()
        );
        assert!(error.starts_with(&expected), "{error}");

        let mut lock = LockFile::open(place.path()).unwrap();
        let guard = lock.acquire(Duration::ZERO, "test", || true).unwrap();
        let salvage = Salvage::read(place.path(), &guard, BOOT, at(20));
        let aside = Store::set_aside(place.path(), &guard, at(20)).unwrap();
        assert_eq!(aside.len(), 2);
        let store = Store::open(place.path(), &guard, place.engine, BOOT, at(20)).unwrap();
        let mut transaction = store.begin();
        assert_eq!(transaction.restore(&salvage, at(20)).unwrap(), 2);
        transaction.commit(at(20)).unwrap();
        assert_eq!(store.check().unwrap(), []);
    });
}

#[test]
fn where_there_is_no_room_for_two_the_old_store_stays() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| good(&store));
        let (_, before) = contents(place);
        // This is in the way, and cannot be removed as a directory.
        let blocked = place
            .path()
            .join(format!("leases.{}.new", other(place).name()));
        fs::write(&blocked, "").unwrap();
        let error = place.open(BOOT, 1, |store| {
            store.change_engine(other(place)).unwrap_err()
        });
        assert!(crate::chain(&error).contains("Not a directory"), "{error}");
        fs::remove_file(&blocked).unwrap();
        assert_eq!(contents(place), (place.engine, before));
    });
}
