//! Verdicts on many tenants at once, and what follows from them without delay.

use crate::rules::lease::{Moment, Tenant};
use crate::rules::options::Options;
use crate::rules::verdict::{Cause, Verdict, has_expired, judge};
use crate::sight::{self, Evidence};
use crate::store::{Store, StoreError};

/// Judges tenants, in order, by evidence taken after they were read.
///
/// One that stays unknown beyond its TTL is dead if every namespace of this host
/// can be looked into and none holds any of its addresses.
pub fn judge_all(tenants: &[Tenant], evidence: &Evidence) -> Vec<Verdict> {
    let mut verdicts: Vec<_> = tenants.iter().map(|t| judge(t, evidence)).collect();
    let expired = |(tenant, verdict): (&Tenant, &Verdict)| {
        matches!(verdict, Verdict::Unknown(_)) && has_expired(tenant, &evidence.at)
    };
    if tenants.iter().zip(&verdicts).any(expired)
        && let Ok(held) = sight::on_this_host(evidence)
    {
        for (tenant, verdict) in tenants.iter().zip(&mut verdicts) {
            let mut leased = tenant.leased.iter();
            let gone = leased.all(|holding| !held.contains_key(&holding.address));
            if gone && expired((tenant, &*verdict)) {
                *verdict = Verdict::Dead(Cause::Expired);
            }
        }
    }
    verdicts
}

/// Renews the leases of tenants seen live, durably: their TTL starts again. One
/// that was renewed within the last quarter of its TTL is left as it is.
///
/// # Errors
/// If the store fails; nothing is renewed then.
pub fn renew(
    store: &Store<'_>,
    tenants: &[Tenant],
    verdicts: &[Verdict],
    now: Moment,
) -> Result<(), StoreError> {
    let mut transaction = store.begin();
    for (tenant, verdict) in tenants.iter().zip(verdicts) {
        let options = Options::parse(&tenant.request.network).unwrap_or_default();
        let is_fresh = now.since(&tenant.renewed) < options.ttl / 4;
        if matches!(verdict, Verdict::Live(_)) && !is_fresh {
            let renewed = Tenant {
                renewed: now,
                expires: now.after(options.ttl),
                ..tenant.clone()
            };
            transaction.update(&renewed)?;
        }
    }
    transaction.commit(now)
}
