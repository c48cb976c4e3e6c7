//! Links the release executable without shared libraries: a container waits for two of these
//! processes, and finding, mapping and binding the C library and the unwinder took a third of
//! what an empty one takes. Its place in memory is still random.
//!
//! rustc's own way, `-C target-feature=+crt-static`, would need `--target` with every cargo:
//! with it, it makes no procedural macros. So the linker finds archives where rustc names
//! shared libraries. Where the archives are not installed (Fedora: glibc-static), the
//! executable is linked as usual, and does the same.
//!
//! Nothing in it may use the C library's name services (users, hosts), which would load those
//! of the host, of whatever version: `plugin/tests/rooms.rs`.

use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

/// Each library that rustc names, and what takes its place.
const LIBRARIES: [(&str, &str); 7] = [
    ("c", "-l:libc.a -l:libgcc_eh.a -l:libgcc.a"),
    ("dl", "-l:libdl.a"),
    ("gcc_s", "-l:libgcc_eh.a"),
    ("m", "-l:libm.a"),
    ("pthread", "-l:libpthread.a"),
    ("rt", "-l:librt.a"),
    ("util", "-l:libutil.a"),
];

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    without_shared_libraries("bins")
}

/// Has executables of a package linked so: `bins` for all, or `bin=NAME`. Those that depend on
/// its library are not, and must not find the archives.
pub(crate) fn without_shared_libraries(executables: &str) -> io::Result<()> {
    println!("cargo:rerun-if-env-changed=RUSTC_LINKER");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|own| own == value);
    let is_meant = is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && env::var("HOST") == env::var("TARGET");
    if !is_meant || !["libc.a", "libgcc_eh.a"].into_iter().all(is_installed) {
        return Ok(());
    }
    let directory = env::var("OUT_DIR").map_err(io::Error::other)?;
    for (library, archives) in LIBRARIES {
        let script = Path::new(&directory).join(format!("lib{library}.so"));
        fs::write(script, format!("GROUP({archives})\n"))?;
    }
    let (option, only) = match executables.split_once('=') {
        Some((option, name)) => (option, format!("{name}=")),
        None => (executables, String::new()),
    };
    println!("cargo:rustc-link-arg-{option}={only}-L{directory}");
    println!("cargo:rustc-link-arg-{option}={only}-static-pie");
    Ok(())
}

/// Returns whether the linker finds a file.
fn is_installed(archive: &str) -> bool {
    let linker = env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned());
    let asked = Command::new(linker)
        .arg(format!("-print-file-name={archive}"))
        .output();
    // It repeats the name of what it does not find.
    asked.is_ok_and(|said| Path::new(String::from_utf8_lossy(&said.stdout).trim()).is_absolute())
}
