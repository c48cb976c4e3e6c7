//! Prints berth's store as JSON, `lab-store [NETWORK-ID…]`: all tenants, the reservations
//! on the named networks, and all contradictions. The output also says where everything is, and
//! which addresses the namespaces of this host hold.
//!
//! Or damages it: `lab-store delete|garble TABLE TEXT` deletes the entries of a table
//! whose key contains this text, or spoils their values, and prints how many.
//!
//! Or fills it: `lab-store fill NETWORK COUNT live|dead` leases the first addresses of a
//! network to this many containers that do not exist. They look alive as long as this
//! program's parent runs, or dead.
//!
//! Or times a command: `lab-store time COMMAND…` prints how many milliseconds the command took,
//! how many the processors spent on it, and its peak memory in KiB. The command's output, and
//! whether it found something, is thrown away.
//!
//! The store is the one that an operator's command of the same user uses. A store that does not
//! exist yet counts as an empty one.
#![allow(
    clippy::print_stdout,
    reason = "standard output is what this program is for"
)]

use std::env;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use berth::lifecycle::session::engine;
use berth::podman::{Podman, enter_if_needed};
use berth::rules::attachment::Attachment;
use berth::rules::lease::{Kind, Namespace, Phase, Tenant};
use berth::rules::options::{self, Options};
use berth::sight::{self, Everywhere, Evidence, PathFact};
use berth::store::{EngineKind, LockFile, Store};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use redb::{ReadableTable, TableDefinition};
use serde_json::{Value, json};

/// The tables, in the order of the first byte of their keys, which begins at 1.
const TABLES: [&str; 11] = [
    "meta",
    "pool",
    "cursor",
    "free",
    "expiry",
    "yield",
    "former-id",
    "former-name",
    "reservation",
    "lease",
    "tenant",
];

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    if let Err(error) = enter_if_needed(None, None) {
        eprintln!("lab-store: {}", berth::chain(&error));
        return ExitCode::FAILURE;
    }
    let done = match words[..] {
        ["delete", table, text] => damage(table, text, |_| None),
        ["garble", table, text] => damage(table, text, |mut value| {
            value.iter_mut().for_each(|byte| *byte ^= 1);
            Some(value)
        }),
        ["fill", network, count, "live"] => fill(network, count, Path::new("/proc/self/ns/net")),
        ["fill", network, count, "dead"] => fill(network, count, Path::new("/run/netns/none")),
        ["time", program, ref arguments @ ..] => time(program, arguments),
        _ => read(&arguments),
    };
    match done {
        Ok(store) => {
            println!("{store:#}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lab-store: {}", berth::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Changes the values of some entries, behind the store's back.
fn damage(
    table: &str,
    text: &str,
    change: impl Fn(Vec<u8>) -> Option<Vec<u8>>,
) -> Result<Value, Failure> {
    let place = TABLES.iter().position(|name| *name == table);
    let prefix = u8::try_from(place.ok_or("no such table")? + 1)?;
    let directory = Podman::find(None, None)?.state_directory;
    let mut lock = LockFile::open(&directory)?;
    let _guard = lock.acquire(Duration::from_secs(10), "lab-store", || false)?;
    let is_meant =
        |key: &[u8]| key.first() == Some(&prefix) && String::from_utf8_lossy(key).contains(text);
    let mut changed = 0;
    let sled = EngineKind::Sled.store_in(&directory);
    if sled.exists() {
        // The options with which the store itself opens it: sled keeps them with the files.
        let config = sled::Config::new().path(sled).use_compression(false);
        let db = config.mode(sled::Mode::LowSpace).open()?;
        for entry in db.iter() {
            let (key, value) = entry?;
            if is_meant(&key) {
                changed += 1;
                match change(value.to_vec()) {
                    Some(value) => db.insert(key, value)?,
                    None => db.remove(key)?,
                };
            }
        }
        db.flush()?;
        return Ok(json!(changed));
    }
    let db = redb::Database::open(EngineKind::Redb.store_in(&directory).join("db"))?;
    let transaction = db.begin_write()?;
    {
        let leases = TableDefinition::<&[u8], &[u8]>::new("leases");
        let mut leases = transaction.open_table(leases)?;
        let mut entries = Vec::new();
        for entry in leases.iter()? {
            let (key, value) = entry?;
            entries.push((key.value().to_vec(), value.value().to_vec()));
        }
        for (key, value) in entries.into_iter().filter(|(key, _)| is_meant(key)) {
            changed += 1;
            match change(value) {
                Some(value) => leases.insert(&key[..], &value[..])?,
                None => leases.remove(&key[..])?,
            };
        }
    }
    transaction.commit()?;
    Ok(json!(changed))
}

/// Leases addresses to containers whose namespace is recorded at this path, with one
/// transaction for each, as in real life.
fn fill(network: &str, count: &str, namespace: &Path) -> Result<Value, Failure> {
    let podman = Podman::find(None, None)?;
    let networks = podman.networks()?;
    let mut networks = networks.iter();
    let network = networks.find(|known| known.answers_to(network));
    let network = network.ok_or("no such network")?;
    let options = Options::parse(network)?;
    let pools = options::pools(network, &options)?;
    let subnet = pools.first().ok_or("no subnet")?.subnet();
    let directory = &podman.state_directory;
    let mut lock = LockFile::open(directory)?;
    let guard = lock.acquire(Duration::from_secs(10), "lab-store", || false)?;
    let (boot_id, now) = (sight::boot_id()?, sight::now()?);
    let store = Store::open(directory, &guard, engine(&podman), &boot_id, now)?;
    let parent = sight::process(nix::unistd::getppid().as_raw());
    let (device, inode) = match sight::examine(namespace) {
        PathFact::There(key) => key,
        PathFact::Missing | PathFact::Unreadable(_) => (0, 0),
    };
    let addresses = subnet.iter().skip(2).take(count.parse()?);
    for (number, address) in addresses.enumerate() {
        let request: Attachment = serde_json::from_value(json!({
            "container_id": format!("{number:064x}"), "container_name": format!("c{number}"),
            "network": network, "network_options": {"interface_name": "eth0"},
            "port_mappings": null,
        }))?;
        let tenant = Tenant {
            tenancy: request.tenancy(),
            network_name: request.network.name.as_str().into(),
            container_name: request.container_name.clone(),
            phase: Phase::Bound,
            leased: Vec::new(),
            namespace: Namespace {
                path: namespace.to_owned(),
                device,
                inode,
            },
            pid_namespace: sight::pid_namespace()?,
            starter: parent.as_ref().map(|fact| fact.process),
            boot_id: boot_id.clone(),
            created: now,
            renewed: now,
            expires: now.after(options.ttl),
            mac_address: None,
            request,
            delegation: podman.delegation.clone().into(),
        };
        let mut transaction = store.begin();
        transaction.prepare(&network.id.as_str().into(), &pools, now)?;
        transaction.lease_to(tenant, &[(address, Kind::Dynamic)])?;
        transaction.set_surveyed();
        transaction.commit(now)?;
    }
    Ok(json!(count))
}

/// Runs a command to its end, with our own standard input.
fn time(program: &str, arguments: &[&str]) -> Result<Value, Failure> {
    let began = Instant::now();
    let ended = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .status()?;
    let waited = began.elapsed();
    if ended.code().is_none_or(|code| code > 1) {
        return Err(format!("{program} ended with {ended}").into());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let millis = |time: TimeVal| time.num_microseconds() as f64 / 1e3;
    Ok(json!([
        waited.as_secs_f64() * 1e3,
        millis(usage.user_time()) + millis(usage.system_time()),
        usage.max_rss(),
    ]))
}

fn read(networks: &[String]) -> Result<Value, Failure> {
    let podman = Podman::find(None, None)?;
    let directory = &podman.state_directory;
    let place = json!({
        "store": directory,
        "networks": podman.network_config_dir()?,
        "lock": podman.network_lock()?,
    });
    if !directory.exists() {
        return Ok(
            json!({"tenants": [], "holds": [], "violations": [], "place": place,
            "seen": {"Ok": []}}),
        );
    }
    let mut lock = LockFile::open(directory)?;
    let guard = lock.acquire(Duration::from_secs(10), "lab-store", || false)?;
    let (boot_id, now) = (sight::boot_id()?, sight::now()?);
    let store = Store::open(directory, &guard, engine(&podman), &boot_id, now)?;
    let transaction = store.begin();
    let mut holds = Vec::new();
    for network in networks {
        for (address, hold) in transaction.reservations(&network.as_str().into())? {
            holds.push(json!({"network": network, "address": address, "hold": hold}));
        }
    }
    let violations = store.check()?;
    let violations: Vec<_> = violations.iter().map(ToString::to_string).collect();
    Ok(json!({
        "tenants": transaction.all_tenants()?,
        "holds": holds,
        "violations": violations,
        "place": place,
        "seen": seen(&transaction.all_tenants()?).map_err(|error| error.to_string()),
    }))
}

/// Returns the addresses that are in use, found in the same way as when a lease's TTL has expired.
fn seen(tenants: &[Tenant]) -> Result<Vec<IpAddr>, Failure> {
    let evidence = Evidence::gather(&[], &sight::boot_id()?, sight::now()?);
    let everywhere = Everywhere::look(&evidence)?;
    let mut networks = tenants.iter().map(|tenant| &tenant.request.network);
    match networks.find_map(|network| everywhere.doubt_about(network)) {
        Some(doubt) => Err(doubt.into()),
        None => Ok(everywhere.addresses().collect()),
    }
}
