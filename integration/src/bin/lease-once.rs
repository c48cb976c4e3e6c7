//! One process for one lease: shows what the store costs a plugin that starts afresh for every
//! container, without netavark's work. For the allocation benchmark.
//!
//! Usage: `lease-once add|del|die DIR`, with a setup request on stdin. It opens the store in
//! DIR, leases the next address of the network (or releases the container's), commits, closes
//! the store, and only then prints the addresses. `die` is `add`, but is killed before it closes
//! the store.

use std::io::{Write, stderr, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use berth::rules::allocator::{Decision, Request, choose};
use berth::rules::attachment::Attachment;
use berth::rules::lease::{Delegation, Moment, Namespace, NetworkId, Phase, Tenant};
use berth::rules::options::{Options, pools};
use berth::sight;
use berth::store::{EngineKind, LockFile, Store, Transaction};
use nix::sys::signal::{Signal, raise};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.as_slice() {
        [verb, dir] => run(verb, Path::new(dir)),
        _ => Err("usage: lease-once add|del|die DIR <REQUEST".into()),
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

/// Does everything and returns what to print. On return the store is closed.
fn run(verb: &str, dir: &Path) -> Result<String, Failure> {
    let request: Attachment = serde_json::from_reader(stdin())?;
    let (boot_id, now) = (sight::boot_id()?, sight::now()?);
    let mut lock = LockFile::open(dir)?;
    let guard = lock.acquire(Duration::from_secs(30), verb, || true)?;
    let store = Store::open(dir, &guard, EngineKind::default(), &boot_id, now)?;
    let mut transaction = store.begin();
    let tenant = match verb {
        "add" | "die" => add(&mut transaction, request, boot_id, now)?,
        "del" => del(&mut transaction, &request)?,
        _ => return Err(format!("unknown verb {verb}").into()),
    };
    transaction.commit(now)?;
    if verb == "die" {
        raise(Signal::SIGKILL)?;
    }
    drop(store);
    let texts = tenant.leased.iter().map(|held| held.address.to_string());
    Ok(texts.collect::<Vec<_>>().join(" "))
}

fn add(
    transaction: &mut Transaction<'_>,
    request: Attachment,
    boot_id: String,
    now: Moment,
) -> Result<Tenant, Failure> {
    let network = NetworkId::from(request.network.id.as_str());
    let options = Options::parse(&request.network)?;
    let pools = pools(&request.network, &options)?;
    transaction.prepare(&network, &pools, now)?;
    let tenant = Tenant {
        tenancy: request.tenancy(),
        network_name: request.network.name.as_str().into(),
        container_name: request.container_name.as_str().into(),
        phase: Phase::Offered,
        leased: Vec::new(),
        namespace: Namespace {
            path: "/run/netns/none".into(),
            device: 0,
            inode: 0,
        },
        pid_namespace: sight::pid_namespace()?,
        starter: None,
        boot_id,
        created: now,
        renewed: now,
        expires: now.after(options.ttl),
        mac_address: None,
        request,
        delegation: Delegation::default().into(),
    };
    let wishes = Request {
        tenancy: &tenant.tenancy,
        container_name: &tenant.container_name,
        static_ips: &tenant.request.options.static_ips,
        current: None,
        pledges: &options.pledges,
        order: options.order,
        random: 0,
    };
    let choice = match choose(&transaction.shelf(&network), &pools, &wishes)? {
        Decision::Lease(choice) => choice,
        Decision::Refused(refusal) => return Err(format!("{refusal:?}").into()),
    };
    for (address, _) in &choice {
        let pool = pools.iter().find(|pool| pool.covers(*address));
        let subnet = pool.ok_or("an address of no subnet")?.subnet();
        transaction.set_cursor(&network, subnet, *address)?;
    }
    Ok(transaction.lease_to(tenant, &choice)?)
}

fn del(transaction: &mut Transaction<'_>, request: &Attachment) -> Result<Tenant, Failure> {
    let tenancy = request.tenancy();
    let tenant = transaction.tenant(&tenancy)?;
    let tenant = tenant.ok_or("the container has no lease")?;
    for holding in &tenant.leased {
        transaction.release(&tenancy, holding.address, holding.generation, None)?;
    }
    Ok(tenant)
}
