//! Writes what a real Podman makes of its `ipam.db`, as fixtures of `state-migrate`:
//!
//!     make fixtures LAB=forky
//!
//! `podman-VERSION-live` has running containers only. `podman-VERSION-leaked` has the same after
//! podman was killed while it started or ended four more. Beside each is its content.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, process};

use berth_integration::outage::Death;
use berth_integration::{Driver, Lab, bbolt};
use berth_migrate::file;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

/// How long to wait for a slow Podman that keeps the file locked.
const WAIT: Duration = Duration::from_secs(10);

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let Some(directory) = env::args_os().nth(1) else {
        eprintln!("usage: berth-fixtures DIRECTORY");
        process::exit(2);
    };
    let lab = Lab::start().unrecorded();
    let version = lab.podman(["version", "--format={{.Client.Version}}"]).ok();
    let name = |kind: &str| Path::new(&directory).join(format!("podman-{version}-{kind}"));
    live(&lab);
    write(&lab, &name("live"))?;
    leak(&lab);
    write(&lab, &name("leaked"))
}

/// Runs containers on every kind of network on which Podman leases addresses.
fn live(lab: &Lab) {
    let dual = ["--subnet=10.50.0.0/24", "--ipv6", "--subnet=fd00:50::/64"];
    lab.network(Driver::Bridge, "dual", &dual);
    // As users write subnets: with the host's own address in it.
    let range = ["--subnet=10.51.0.9/24", "--ip-range=10.51.0.128/28"];
    lab.network(Driver::Bridge, "range", &range);
    lab.network(Driver::Bridge, "wrapped", &["--subnet=10.52.0.0/29"]);
    lab.network(Driver::Bridge, "emptied", &["--subnet=10.53.0.0/24"]);
    lab.container("dynamic", &["dual", "range"]).start();
    let both = lab.container("static", &["dual"]);
    both.ip("10.50.0.77").ip6("fd00:50::77").start();
    // After the last address, the first one follows again.
    for number in 0..6 {
        lab.container("short", &["wrapped"]).start();
        lab.remove("short");
        if number == 3 {
            lab.container("long", &["wrapped"]).start();
        }
    }
    lab.container("short", &["emptied"]).start();
    lab.remove("short");
}

/// Leaves addresses to containers that do not exist.
fn leak(lab: &Lab) {
    for (name, networks) in [
        ("one", &["dual"][..]),
        ("two", &["dual", "range"]),
        ("three", &["wrapped"]),
    ] {
        let run = lab.container(name, networks);
        run.dies(Death::PodmanBeforeNetavark);
        lab.remove_at_last(name);
    }
    let run = lab.container("four", &["emptied"]).ip("10.53.0.99");
    run.dies(Death::PodmanAfterNetavark);
    lab.remove_at_last("four");
}

/// Writes the lab's file and its content, after checking that bbolt reads the same from it.
fn write(lab: &Lab, name: &Path) -> Result<(), Failure> {
    let bytes = file::read(&lab.ipam_db(), WAIT)?;
    let plain = tempfile::NamedTempFile::new()?;
    fs::write(plain.path(), &bytes)?;
    let path = format!("{}/ipam.db", lab.run_dir());
    let content = lab.migrate(["dump", &path]).ok() + "\n";
    if serde_json::from_str::<Value>(&content)? != bbolt::dump(plain.path())? {
        return Err(format!("bbolt reads something else than\n{content}").into());
    }
    let packed = File::create(with(name, "db.gz"))?;
    let mut packed = GzEncoder::new(packed, Compression::best());
    packed.write_all(&bytes)?;
    packed.finish()?;
    Ok(fs::write(with(name, "json"), content)?)
}

/// Returns the path of a fixture's file with this extension. It is appended, because the
/// version in the name has dots of its own.
fn with(name: &Path, extension: &str) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}
