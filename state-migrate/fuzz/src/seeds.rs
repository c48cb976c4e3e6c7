//! Unpacks the fixtures into a directory, for the fuzzer to begin with: the files as
//! they are, and without what lies behind their last page in use.
//!
//! ```text
//! seeds FIXTURES DIRECTORY
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

fn main() -> Result<(), Box<dyn Error>> {
    let [from, to] = std::env::args_os()
        .skip(1)
        .map(PathBuf::from)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: seeds FIXTURES DIRECTORY")?;
    fs::create_dir_all(&to)?;
    for directory in [from.clone(), from.join("odd")] {
        for entry in fs::read_dir(directory)? {
            unpack(&entry?.path(), &to)?;
        }
    }
    Ok(())
}

fn unpack(path: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(name) = name.strip_suffix(".db.gz") else {
        return Ok(());
    };
    let mut file = Vec::new();
    GzDecoder::new(File::open(path)?).read_to_end(&mut file)?;
    fs::write(to.join(name), &file)?;
    let used = used(&file).filter(|used| *used < file.len());
    if let Some(used) = used {
        fs::write(to.join(format!("{name}-cut")), &file[..used])?;
    }
    Ok(())
}

/// Returns where the last page in use ends.
fn used(file: &[u8]) -> Option<usize> {
    let page_size = u32::from_le_bytes(*file.get(24..)?.first_chunk()?);
    let page_size = usize::try_from(page_size).ok()?;
    let high_water = |meta: usize| -> Option<u64> {
        Some(u64::from_le_bytes(
            *file.get(meta + 16 + 40..)?.first_chunk()?,
        ))
    };
    let pages = high_water(0)?.max(high_water(page_size)?);
    usize::try_from(pages).ok()?.checked_mul(page_size)
}
