//! One look at everything, under both locks.

use super::plan::empty;
use super::{CollectError, Collector, Findings, NoNetwork, Party};
use crate::lifecycle::session::{Session, SessionError};
use crate::rules::lease::Tenant;
use crate::rules::verdict::Verdict;
use crate::sight::survey::{self, Adoption, Survey};
use crate::sight::{self, Evidence};

impl Collector<'_> {
    /// Adopts, judges, and searches for leftovers. Renews the leases of those seen
    /// live.
    pub(super) fn look(&mut self, session: &Session<'_>) -> Result<Findings, CollectError> {
        let tenants = session.store.begin().all_tenants()?;
        let survey = session.survey(&tenants)?;
        if let Some(wanted) = &self.wish.network
            && !survey
                .networks
                .iter()
                .any(|network| network.answers_to(wanted))
        {
            return Err(NoNetwork(wanted.clone()).into());
        }
        let (tenants, adoptions) = self.adopt(session, &survey, tenants)?;
        let after_adoption = match adoptions.is_empty() {
            true => None,
            false => {
                let now = sight::now().map_err(SessionError::from)?;
                Some(Evidence::gather(&tenants, &session.boot_id, now))
            }
        };
        let evidence = after_adoption.as_ref().unwrap_or(&survey.evidence);
        let adopted = adoptions.iter().map(|adoption| {
            let tenant = adoption.clone().into_tenant();
            Party::new(&tenant, "the store did not know about it")
        });
        if self.wish.dry_run {
            // Each look finds them again.
            self.report.adopted.clear();
        }
        self.report.adopted.extend(adopted);

        let verdicts = sight::judge_all(&tenants, evidence);
        if !self.wish.dry_run {
            // G1
            session.renew(&tenants, &verdicts)?;
        }
        let is_live = |verdict: &&Verdict| matches!(verdict, Verdict::Live(_));
        self.report.live = verdicts.iter().filter(is_live).count();
        self.report.unknown = tenants
            .iter()
            .zip(&verdicts)
            .filter_map(|(tenant, verdict)| match verdict {
                Verdict::Unknown(doubt) => Some(Party::new(tenant, doubt)),
                Verdict::Live(_) | Verdict::Dead(_) => None,
            })
            .collect();
        let leftovers = survey::leftovers(&survey, &tenants);
        let known = session
            .store
            .last_collection()
            .map_or_else(Vec::new, |last| last.empty);
        let makers = evidence.processes.iter();
        let verdicts = tenants.into_iter().zip(verdicts);
        let dead = verdicts.filter_map(|(tenant, verdict)| match verdict {
            Verdict::Dead(cause) => Some((tenant, cause)),
            Verdict::Live(_) | Verdict::Unknown(_) => None,
        });
        Ok(Findings {
            at: evidence.at,
            empty: empty(&leftovers, &known, evidence.at),
            leftovers,
            makers: makers
                .filter(|fact| fact.is_maker())
                .map(|fact| fact.process)
                .collect(),
            dead: dead.collect(),
            configured: survey.configured,
        })
    }

    /// Adopts what the store does not know of, or only finds out what would be adopted.
    /// Returns all tenants that there are afterwards.
    fn adopt(
        &mut self,
        session: &Session<'_>,
        survey: &Survey,
        tenants: Vec<Tenant>,
    ) -> Result<(Vec<Tenant>, Vec<Adoption>), CollectError> {
        if self.wish.dry_run {
            let delegation = &session.podman.delegation;
            let adoptions = survey::adoptions(survey, &tenants, delegation, session.now);
            let mut all = tenants;
            all.extend(adoptions.iter().cloned().map(Adoption::into_tenant));
            return Ok((all, adoptions));
        }
        let (adoptions, tenants) = session.adopt(survey, tenants)?;
        Ok((tenants, adoptions))
    }
}
