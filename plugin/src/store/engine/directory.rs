//! The parts of a store's directory that are the same for every engine.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::store::error::StoreError;

/// Version of the tables. Formats so far: 1.
pub(in crate::store) const FORMAT: u32 = 1;

/// The name of the format file in the store's directory.
const FORMAT_FILE: &str = "format";

/// Reads the beginning of one of the store's files, at most `most` bytes. A missing file is
/// damage.
pub(super) fn read(store: &Path, name: &str, most: u64) -> Result<Vec<u8>, StoreError> {
    let file = store.join(name);
    let mut bytes = Vec::new();
    match File::open(&file).and_then(|file| file.take(most).read_to_end(&mut bytes)) {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = format!("{} is missing", file.display());
            Err(StoreError::damaged(store, what))
        }
        Err(source) => Err(StoreError::io("read", &file, source)),
    }
}

/// Returns the error for one of the store's files whose content is wrong.
pub(super) fn unreadable(store: &Path, name: &str) -> StoreError {
    StoreError::damaged(store, format!("cannot read {}", store.join(name).display()))
}

/// Refuses, without writing, a store whose format we do not know.
pub(super) fn check_format(store: &Path) -> Result<(), StoreError> {
    let format = read(store, FORMAT_FILE, 16)?;
    let found: u32 = std::str::from_utf8(&format)
        .ok()
        .and_then(|text| text.strip_suffix('\n'))
        .and_then(|text| text.parse().ok())
        .filter(|found| *found >= 1)
        .ok_or_else(|| unreadable(store, FORMAT_FILE))?;
    if found > FORMAT {
        return Err(StoreError::NewerFormat {
            path: store.to_owned(),
            found,
            known: FORMAT,
        });
    }
    Ok(())
}

/// Makes a store in `unfinished`, and renames it to `store` once it is complete and durable.
/// `fill` makes the engine's files and closes them.
pub(super) fn create(
    unfinished: &Path,
    store: &Path,
    fill: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    remove(unfinished)?;
    fs::create_dir(unfinished).map_err(|source| StoreError::io("create", unfinished, source))?;
    let format = unfinished.join(FORMAT_FILE);
    fs::write(&format, format!("{FORMAT}\n"))
        .and_then(|()| File::open(&format)?.sync_all())
        .map_err(|source| StoreError::io("write", &format, source))?;
    fill(unfinished)?;
    sync(unfinished)?;
    rename(unfinished, store)
}

/// Removes a directory, which need not exist.
pub(super) fn remove(directory: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", directory, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Renames a store within its state directory, durably.
pub(in crate::store) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|source| StoreError::io("rename", from, source))?;
    to.parent().map_or(Ok(()), sync)
}

/// Returns whether there is anything at a path.
pub(super) fn is_there(path: &Path) -> Result<bool, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(StoreError::io("examine", path, source)),
    }
}

pub(super) fn sync(directory: &Path) -> Result<(), StoreError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| StoreError::io("sync", directory, source))
}
