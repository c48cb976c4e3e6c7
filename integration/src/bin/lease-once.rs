//! One lease, one process: what the store costs a plugin that is started anew
//! for every container. For the bench beside it, and for stracing.
//!
//! `lease-once add|del DIR`, with a setup request on stdin. Opens the store in
//! DIR, leases the next address of the network (or releases the container's),
//! commits, closes, and only then prints the addresses.

use std::io::{Write, stderr, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use berth::allocator::Shelf;
use berth::lease::{Delegation, Kind, Moment, NetworkId, Phase, Tenancy, Tenant};
use berth::pool::Pool;
use berth::protocol::PluginExec;
use berth::store::{LockFile, Store, Transaction};
use nix::time::{ClockId, clock_gettime};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.as_slice() {
        [verb, dir] => run(verb, Path::new(dir)),
        _ => Err("usage: lease-once add|del DIR <REQUEST".into()),
    };
    match result {
        Ok(text) => {
            let written = writeln!(stdout(), "{text}");
            written.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Err(error) => {
            let _ = writeln!(stderr(), "lease-once: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does it all and returns what to print. The store is closed then.
fn run(verb: &str, dir: &Path) -> Result<String, Failure> {
    let request: PluginExec = serde_json::from_reader(stdin())?;
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let boot_id = boot_id.trim_end();
    let now = now()?;
    let mut lock = LockFile::open(dir)?;
    let guard = lock.acquire(Duration::from_secs(30), verb)?;
    let store = Store::open(dir, guard, boot_id, now)?;
    let mut transaction = store.begin();
    let text = match verb {
        "add" => add(&mut transaction, request, boot_id, now)?,
        "del" => del(&mut transaction, &request)?,
        _ => return Err(format!("unknown verb {verb}").into()),
    };
    transaction.commit(now)?;
    drop(store);
    Ok(text)
}

fn now() -> Result<Moment, Failure> {
    let ms = |clock| -> Result<u64, Failure> {
        let time = clock_gettime(clock)?;
        Ok(u64::try_from(Duration::from(time).as_millis())?)
    };
    Ok(Moment {
        wall_ms: ms(ClockId::CLOCK_REALTIME)?,
        boot_ms: ms(ClockId::CLOCK_BOOTTIME)?,
    })
}

fn tenancy(request: &PluginExec) -> Tenancy {
    Tenancy {
        network_id: request.network.id.as_str().into(),
        container_id: request.container_id.as_str().into(),
        interface: request.network_options.interface_name.as_str().into(),
    }
}

fn add(
    transaction: &mut Transaction<'_>,
    request: PluginExec,
    boot_id: &str,
    now: Moment,
) -> Result<String, Failure> {
    let network = NetworkId::from(request.network.id.as_str());
    let pools = request
        .network
        .subnets
        .iter()
        .map(|subnet| Pool::new(subnet, &[]))
        .collect::<Result<Vec<_>, _>>()?;
    transaction.prepare(&network, &pools, now)?;
    let mut wanted = Vec::new();
    for pool in &pools {
        let shelf = transaction.shelf(&network);
        let lowest = pool.subnet().network();
        let cursor = shelf.cursor(pool)?.unwrap_or(lowest);
        // From the cursor's address itself: it is leased, so the next one is free
        // at the earliest.
        let address = match shelf.first_free(pool, cursor)? {
            Some(address) => address,
            None => shelf.first_free(pool, lowest)?.ok_or("all leased")?,
        };
        wanted.push((address, Kind::Dynamic));
        transaction.set_cursor(&network, pool.subnet(), address)?;
    }
    let tenant = Tenant {
        tenancy: tenancy(&request),
        network_name: request.network.name.as_str().into(),
        container_name: request.container_name.as_str().into(),
        phase: Phase::Offered,
        holdings: Vec::new(),
        namespace: None,
        starter: None,
        boot_id: boot_id.to_owned(),
        created: now,
        renewed: now,
        expires: now.after(Duration::from_secs(3600)),
        mac_address: None,
        request,
        delegation: Delegation::default(),
    };
    let tenant = transaction.lease_to(tenant, &wanted)?;
    Ok(addresses(&tenant))
}

fn del(transaction: &mut Transaction<'_>, request: &PluginExec) -> Result<String, Failure> {
    let tenancy = tenancy(request);
    let Some(tenant) = transaction.tenant(&tenancy)? else {
        return Ok(String::new());
    };
    for holding in &tenant.holdings {
        transaction.release(&tenancy, holding.address, holding.generation, None)?;
    }
    Ok(addresses(&tenant))
}

fn addresses(tenant: &Tenant) -> String {
    let texts = tenant.holdings.iter().map(|held| held.address.to_string());
    texts.collect::<Vec<_>>().join(" ")
}
