//! Verdicts on many tenants at once.

use crate::rules::lease::Tenant;
use crate::rules::verdict::{Cause, Verdict, has_expired, judge};
use crate::sight::{self, Evidence};

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
