//! Leases for what namespaces hold and the store does not know of, in one transaction.

use std::net::IpAddr;

use crate::lifecycle::reclaim::stage_release;
use crate::rules::lease::{Delegation, Kind, Moment, Tenancy};
use crate::sight::survey::{Adoption, Survey, SurveyError, adoptions};
use crate::store::{Store, StoreError, Transaction};

/// Adopts what namespaces hold on our networks and the store does not know of,
/// durably; lets go of leases of an earlier boot, each with its hold. Returns what
/// was adopted. Doing it twice is doing it once.
///
/// `survey` must have been taken after the tenants were read from this store.
///
/// # Errors
/// [`SurveyError::Incomplete`] if a namespace could not be looked into: what it
/// holds would be leased to others. Nothing is changed then.
pub fn adopt(
    store: &Store<'_>,
    survey: &Survey,
    delegation: &Delegation,
    now: Moment,
) -> Result<Vec<Adoption>, AdoptError> {
    let mut transaction = store.begin();
    let dynamic = |_: &Tenancy, _: IpAddr| Kind::Dynamic;
    let adoptions = stage(&mut transaction, survey, delegation, now, &dynamic)?;
    transaction.commit(now)?;
    Ok(adoptions)
}

/// As [`adopt`], but only staged; `kind` says how somebody came by an address, which
/// no namespace shows.
///
/// # Errors
/// As [`adopt`].
pub fn stage(
    transaction: &mut Transaction<'_>,
    survey: &Survey,
    delegation: &Delegation,
    now: Moment,
    kind: &dyn Fn(&Tenancy, IpAddr) -> Kind,
) -> Result<Vec<Adoption>, AdoptError> {
    if let Some(doubt) = &survey.doubt {
        return Err(SurveyError::Incomplete(doubt.clone()).into());
    }
    drop_earlier_boots(transaction, survey, now)?;
    let tenants = transaction.all_tenants()?;
    let mut adoptions = adoptions(survey, &tenants, delegation, now);
    for adoption in &mut adoptions {
        let tenancy = &adoption.tenant.tenancy;
        let known = tenants.iter().find(|known| known.tenancy == *tenancy);
        for (address, own) in &mut adoption.addresses {
            if !known.is_some_and(|known| known.has_leased(*address)) {
                *own = kind(tenancy, *address);
            }
        }
        transaction.lease_to(adoption.tenant.clone(), &adoption.addresses)?;
        log::info!(
            "adopted container {} on network {}: it holds {:?}",
            adoption.tenant.tenancy.container_id.short(),
            adoption.tenant.network_name,
            adoption.addresses
        );
    }
    transaction.set_surveyed();
    Ok(adoptions)
}

/// Failure to adopt.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// Not everything could be seen.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Lets go of all leases of earlier boots. Their interfaces ended with the boot.
fn drop_earlier_boots(
    transaction: &mut Transaction<'_>,
    survey: &Survey,
    now: Moment,
) -> Result<(), StoreError> {
    for tenant in transaction.all_tenants()? {
        if tenant.boot_id != survey.evidence.boot_id {
            stage_release(transaction, &tenant, now)?;
        }
    }
    Ok(())
}
