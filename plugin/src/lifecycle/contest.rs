//! What a container asks for is already held: is the holder alive?
//!
//! The dead give way at once, one at a time and only as far as needed; the rest is left
//! to the background collection. The refusal names the holders that are alive, and those
//! about which berth is not certain.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use ipnetwork::IpNetwork;
use thiserror::Error;

use super::LifecycleError;
use super::session::Session;
use crate::delegate::Reach;
use crate::rules::lease::{ContainerId, ContainerName, NetworkName, Tenant};
use crate::rules::pool::{Pool, number};
use crate::rules::verdict::{STARTER_GRACE, Sign, Verdict};

/// What a container asks for is held by others that do not give way.
#[derive(Debug, Error)]
pub enum Contest {
    /// A static address is taken. The message begins with Podman's own words, which its
    /// users and tests know.
    #[error("requested ip address {address} is already allocated to container ID {holder}")]
    Address { address: IpAddr, holder: Holder },
    #[error("failed to lease an address from {subnet}: {census}")]
    Full { subnet: IpNetwork, census: Census },
}

/// A holder that does not give way.
#[derive(Debug)]
pub struct Holder {
    pub address: IpAddr,
    pub network: NetworkName,
    pub container_id: ContainerId,
    pub container_name: ContainerName,
    /// For how long it has had its lease.
    pub since: Duration,
    /// Until its TTL runs out.
    pub left: Duration,
    pub verdict: Verdict,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            network,
            container_id,
            container_name,
            since,
            left,
            verdict,
        } = self;
        let seconds = |time: &Duration| Duration::from_secs(time.as_secs());
        let (since, left) = (seconds(since), seconds(left));
        let (since, left) = (
            humantime::format_duration(since),
            humantime::format_duration(left),
        );
        write!(
            f,
            "{container_id} (name {container_name}, leased {since} ago): "
        )?;
        match verdict {
            Verdict::Live(Sign::AtWork { pid, name }) => write!(
                f,
                "process {pid} ({name}) is at work for it; try again when that has ended, or ask \
                 for another address"
            ),
            Verdict::Live(sign) => write!(
                f,
                "it is live, {sign}; stop that container or ask for another address"
            ),
            Verdict::Unknown(doubt) => write!(
                f,
                "berth cannot tell whether it is live ({doubt}), so it keeps the address for \
                 another {left}, or longer if it is seen live; stop that container, ask for \
                 another address or, if you know that it is gone, run `berth release {address} \
                 --network {network} --force`"
            ),
            Verdict::Dead(cause) => write!(
                f,
                "it was gone ({cause}), but has come back; try again, or ask for another \
                 address"
            ),
        }
    }
}

/// Who holds the addresses of a full pool.
#[derive(Debug)]
pub struct Census {
    leased: usize,
    held: usize,
    pool: u128,
    kept_out: u128,
    largest: Vec<(ContainerName, usize)>,
}

impl Census {
    fn take(pool: &Pool, tenants: &[Tenant], held: usize) -> Self {
        let count = |tenant: &Tenant| {
            tenant
                .leased
                .iter()
                .filter(|holding| pool.offers(holding.address))
                .count()
        };
        let mut largest: Vec<_> = tenants
            .iter()
            .map(|tenant| {
                (
                    tenant.container_name.clone(),
                    count(tenant),
                    tenant.created.boot_ms,
                )
            })
            .filter(|(_, count, _)| *count > 0)
            .collect();
        largest.sort_by_key(|(_, count, created)| (Reverse(*count), *created));
        let subnet = number(crate::rules::pool::last_address(pool.subnet()))
            - number(pool.subnet().network());
        Self {
            leased: largest.iter().map(|(_, count, _)| count).sum(),
            held,
            pool: pool.len(),
            kept_out: subnet.saturating_add(1) - pool.len(),
            largest: largest
                .into_iter()
                .take(3)
                .map(|(name, count, _)| (name, count))
                .collect(),
        }
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            leased,
            held,
            pool,
            kept_out,
            largest,
        } = self;
        write!(
            f,
            "{leased} of its {pool} addresses are leased, {held} reserved; {kept_out} are kept out \
             (network, broadcast, gateway, outside the lease range, excluded, or reserved by hand)"
        )?;
        let names: Vec<_> = largest
            .iter()
            .map(|(name, count)| format!("{name} ({count})"))
            .collect();
        if !names.is_empty() {
            write!(f, "; most are leased by {}", names.join(", "))?;
        }
        f.write_str("; remove containers that are not needed, or widen the lease range")
    }
}

/// Settles who gets a leased address: returns once its holder is dead and removed, and
/// refuses otherwise.
pub(super) fn for_address(
    session: &Session<'_>,
    address: IpAddr,
    holder: Tenant,
) -> Result<(), LifecycleError> {
    let since = session.now.since(&holder.created);
    let left = holder.expires.since(&session.now);
    let network = holder.network_name.clone();
    let (container_id, container_name) = (
        holder.tenancy.container_id.clone(),
        holder.container_name.clone(),
    );
    match remove_one_dead(session, vec![holder])? {
        None => Ok(()),
        Some(mut verdicts) => {
            let verdict = verdicts
                .pop()
                .unwrap_or_else(|| Verdict::Unknown(String::new()));
            let holder = Holder {
                address,
                network,
                container_id,
                container_name,
                since,
                left,
                verdict,
            };
            Err(Contest::Address { address, holder }.into())
        }
    }
}

/// Makes room in a full pool: returns once one dead holder has been removed, and refuses
/// otherwise.
pub(super) fn for_pool(
    session: &Session<'_>,
    pool: &Pool,
    tenants: Vec<Tenant>,
    reserved: usize,
) -> Result<(), LifecycleError> {
    let census = Census::take(pool, &tenants, reserved);
    let offered = |tenant: &Tenant| tenant.leased.iter().any(|held| pool.offers(held.address));
    let candidates = tenants.into_iter().filter(offered).collect();
    match remove_one_dead(session, candidates)? {
        None => Ok(()),
        Some(_) => Err(Contest::Full {
            subnet: pool.subnet(),
            census,
        }
        .into()),
    }
}

/// How many dead holders have to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// One: whichever is found dead first.
    One,
    All,
}

/// Reclaims from one candidate found dead. Returns the verdicts if there is none.
fn remove_one_dead(
    session: &Session<'_>,
    candidates: Vec<Tenant>,
) -> Result<Option<Vec<Verdict>>, LifecycleError> {
    let (verdicts, removed) = remove_dead(session, candidates, Need::One)?;
    Ok((removed == 0).then_some(verdicts))
}

/// Reclaims from the candidates found dead, beginning with those that have not been seen
/// alive for longest. Returns the verdicts, in that order, and how many were removed. If
/// none was, it renews the leases of those seen live.
pub(super) fn remove_dead(
    session: &Session<'_>,
    mut candidates: Vec<Tenant>,
    need: Need,
) -> Result<(Vec<Verdict>, usize), LifecycleError> {
    if candidates.is_empty() {
        return Ok((Vec::new(), 0));
    }
    candidates.sort_by_key(|tenant| tenant.renewed.boot_ms);
    let mut verdicts = session.judge(&candidates);
    let mut dead = dead(&verdicts, None);
    if is_worth_waiting(&verdicts, need) {
        // A podman that was killed a moment ago may already have started a conmon.
        thread::sleep(STARTER_GRACE);
        let earlier = std::mem::replace(&mut verdicts, session.judge(&candidates));
        dead = self::dead(&verdicts, Some(&earlier));
    }
    if need == Need::One {
        dead.truncate(1);
    }
    for (at, &index) in dead.iter().enumerate() {
        let (tenant, verdict) = (&candidates[index], &verdicts[index]);
        log::info!(
            "reclaiming from container {} on network {}: {}",
            tenant.tenancy.container_id.short(),
            tenant.network_name,
            verdict.reason()
        );
        let later = dead[at + 1..].iter().map(|index| &candidates[*index]);
        let later = later.map(|other| other.tenancy.network_id.as_str());
        let reach = Reach::of(tenant.tenancy.network_id.as_str(), later);
        session.reclaim(tenant, reach, &verdict.reason())?;
    }
    if dead.is_empty() {
        session.renew(&candidates, &verdicts)?;
    }
    Ok((verdicts, dead.len()))
}

/// Returns whether a second look may find more dead, and whether they are needed.
fn is_worth_waiting(verdicts: &[Verdict], need: Need) -> bool {
    let certain = dead(verdicts, None).len();
    let found = verdicts.iter().filter(|verdict| is_dead(verdict)).count();
    found > certain && (need == Need::All || certain == 0)
}

fn is_dead(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Dead(_))
}

/// Returns which are dead: first those whose death needs no second look, then those that
/// were dead at the earlier look, too. One that was not dead at the earlier look still
/// needs a second one.
fn dead(verdicts: &[Verdict], earlier: Option<&[Verdict]>) -> Vec<usize> {
    let certain = |verdict: &Verdict| matches!(verdict, Verdict::Dead(cause) if !cause.is_hasty());
    let indexes = || 0..verdicts.len();
    let twice = |at: &usize| {
        !certain(&verdicts[*at])
            && is_dead(&verdicts[*at])
            && earlier.is_some_and(|earlier| is_dead(&earlier[*at]))
    };
    let first = indexes().filter(|at| certain(&verdicts[*at]));
    first.chain(indexes().filter(twice)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::verdict::Cause;

    #[test]
    fn a_hasty_death_counts_only_if_it_is_seen_twice() {
        let live = || Verdict::Live(Sign::Starting { pid: 9 });
        let hasty = || Verdict::Dead(Cause::Abandoned);
        let certain = || Verdict::Dead(Cause::NamespaceGone);
        assert_eq!(dead(&[live(), hasty(), certain()], None), [2]);
        assert_eq!(dead(&[live(), hasty()], None), [0; 0]);
        assert_eq!(dead(&[live(), hasty()], Some(&[hasty(), live()])), [0; 0]);
        assert_eq!(dead(&[hasty(), hasty()], Some(&[live(), hasty()])), [1]);
        assert_eq!(
            dead(&[hasty(), certain()], Some(&[hasty(), live()])),
            [1, 0]
        );
    }

    #[test]
    fn a_second_look_is_taken_only_if_its_dead_are_needed() {
        let hasty = || Verdict::Dead(Cause::Abandoned);
        let certain = || Verdict::Dead(Cause::NamespaceGone);
        let check = |verdicts: &[Verdict], one: bool, all: bool| {
            assert_eq!(is_worth_waiting(verdicts, Need::One), one, "{verdicts:?}");
            assert_eq!(is_worth_waiting(verdicts, Need::All), all, "{verdicts:?}");
        };
        check(&[hasty(), certain()], false, true);
        check(&[hasty()], true, true);
        check(&[certain()], false, false);
        check(&[Verdict::Unknown(String::new())], false, false);
    }
}
