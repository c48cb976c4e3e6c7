//! Adoption: leases for what containers' namespaces hold and the store does not know of.
//! Either the store was lost, or the machine has booted, or a network is in use on which the
//! store has never leased an address: the network was removed and made again with another
//! id, or it comes from Podman's own allocation.

use std::net::IpAddr;
use std::path::Path;

use super::reclaim::stage_release;
use super::session::{Session, SessionError, note};
use crate::protocol::Network;
use crate::rules::attachment::Attachment;
use crate::rules::history::Line;
use crate::rules::lease::{Kind, NetworkId, Tenancy, Tenant};
use crate::rules::options::Plumbing;
use crate::sight::survey::{Adoption, Survey, SurveyError, adoptions};
use crate::sight::{self, Link, PathFact};
use crate::store::{StoreError, Transaction};

impl Session<'_> {
    /// Adopts what namespaces hold on our networks and the store does not know of, durably;
    /// releases leases of an earlier boot, each with a reservation. Returns what was
    /// adopted, and the tenants afterwards. Repeating it changes nothing.
    ///
    /// `survey` must have been taken in this session, with these tenants, and they must be
    /// all that the store knows of. As long as a container may be hidden on one of the
    /// networks, the store does not count as surveyed.
    ///
    /// # Errors
    /// If the store fails. Nothing is changed then.
    pub fn adopt(
        &self,
        survey: &Survey,
        tenants: Vec<Tenant>,
    ) -> Result<(Vec<Adoption>, Vec<Tenant>), SessionError> {
        let mut transaction = self.store.begin();
        let dynamic = |_: &Tenancy, _: IpAddr| Kind::Dynamic;
        let (adoptions, tenants) = self.stage(&mut transaction, survey, tenants, &dynamic)?;
        // A1
        transaction.commit(self.now)?;
        if adoptions.is_empty() {
            return Ok((adoptions, tenants));
        }
        Ok((adoptions, self.store.begin().all_tenants()?))
    }

    /// As [`Session::adopt`], but only staged. `kind` says whether an address is static or
    /// dynamic, which no namespace shows.
    ///
    /// # Errors
    /// As [`Session::adopt`].
    pub fn stage_adoption(
        &self,
        transaction: &mut Transaction<'_>,
        survey: &Survey,
        kind: &dyn Fn(&Tenancy, IpAddr) -> Kind,
    ) -> Result<Vec<Adoption>, SessionError> {
        let tenants = transaction.all_tenants()?;
        Ok(self.stage(transaction, survey, tenants, kind)?.0)
    }

    /// Stages an adoption in a store that knows of these tenants. Returns what is adopted,
    /// and which of the tenants are of this boot.
    fn stage(
        &self,
        transaction: &mut Transaction<'_>,
        survey: &Survey,
        tenants: Vec<Tenant>,
        kind: &dyn Fn(&Tenancy, IpAddr) -> Kind,
    ) -> Result<(Vec<Adoption>, Vec<Tenant>), SessionError> {
        let tenants = self.drop_earlier_boots(transaction, tenants)?;
        let adoptions = self.stage_leases(transaction, survey, &tenants, kind)?;
        match survey.doubt() {
            None if self.store.is_surveyed() => {}
            None => transaction.set_surveyed(),
            Some(doubt) => log::info!("not everything could be seen: {doubt}"),
        }
        Ok((adoptions, tenants))
    }

    /// Stages leases for what the survey shows and these tenants do not have.
    fn stage_leases(
        &self,
        transaction: &mut Transaction<'_>,
        survey: &Survey,
        tenants: &[Tenant],
        kind: &dyn Fn(&Tenancy, IpAddr) -> Kind,
    ) -> Result<Vec<Adoption>, SessionError> {
        let delegation = &self.podman.delegation;
        let mut adoptions = adoptions(survey, tenants, delegation, self.now);
        for adoption in &mut adoptions {
            let tenancy = &adoption.tenant.tenancy;
            let known = tenants.iter().find(|known| known.tenancy == *tenancy);
            for (address, own) in &mut adoption.addresses {
                if !known.is_some_and(|known| known.has_leased(*address)) {
                    *own = kind(tenancy, *address);
                }
            }
            let tenant = transaction.lease_to(adoption.tenant.clone(), &adoption.addresses)?;
            // Noted before the commit, because it was seen in any case; a repeated line does
            // no harm.
            note(self.podman, &[Line::began(&tenant, true, None)]);
            log::info!(
                "adopted container {} on network {}: it holds {:?}",
                adoption.tenant.tenancy.container_id.short(),
                adoption.tenant.network_name,
                adoption.addresses
            );
        }
        Ok(adoptions)
    }

    /// Adopts what live namespaces hold, on the networks that are asked for, and on all
    /// networks if this store has not been surveyed since the boot. On return it is durable.
    /// Returns the networks that are asked for on which a container may be hidden, each with
    /// the reason.
    ///
    /// # Errors
    /// If the host cannot be looked at, or the store fails.
    pub(super) fn recover<'a>(
        &self,
        asked: &'a [Attachment],
        netns: &Path,
    ) -> Result<Vec<(&'a Network, String)>, SessionError> {
        let mut doubts = Vec::new();
        for attachment in asked {
            let network: &Network = &attachment.network;
            let is_surveyed = self.store.is_surveyed();
            if is_surveyed && !self.is_unknown_in_use(network)? {
                continue;
            }
            // If something is out of sight, the tenants' namespaces may be in other
            // directories than Podman's.
            let narrow = is_surveyed.then(|| self.survey_of(network)).transpose()?;
            let narrow = narrow.filter(|survey| !survey.is_anybody_hidden_on(network));
            // Only a look at all networks needs all tenants.
            let (mut survey, tenants) = match narrow {
                Some(survey) => (survey, None),
                None => {
                    let tenants = self.store.begin().all_tenants()?;
                    (self.survey_including(network, &tenants)?, Some(tenants))
                }
            };
            // Podman has told us which container this namespace belongs to.
            if let PathFact::There(key) = sight::examine(netns) {
                let container = attachment.container_id.clone();
                survey.containers.insert(key, container);
            }
            match tenants {
                Some(tenants) => {
                    self.adopt(&survey, tenants)?;
                }
                None => self.adopt_on(network, &survey)?,
            }
            doubts.extend(survey.doubt_about(network).map(|doubt| (network, doubt)));
        }
        Ok(doubts)
    }

    /// As [`Session::adopt`], on one network of a store that is surveyed. The survey may
    /// leave out all other networks.
    fn adopt_on(&self, network: &Network, survey: &Survey) -> Result<(), SessionError> {
        let mut transaction = self.store.begin();
        let tenants = transaction.tenants(&network.id.as_str().into())?;
        let dynamic = |_: &Tenancy, _: IpAddr| Kind::Dynamic;
        self.stage_leases(&mut transaction, survey, &tenants, &dynamic)?;
        // A1
        Ok(transaction.commit(self.now)?)
    }

    /// Returns whether the store has never leased an address of a network, but
    /// containers may be on it.
    fn is_unknown_in_use(&self, network: &Network) -> Result<bool, SessionError> {
        let id = NetworkId::from(network.id.as_str());
        if self.store.begin().networks()?.contains(&id) {
            return Ok(false);
        }
        let links = sight::links().map_err(SurveyError::Links)?;
        Ok(may_be_in_use(network, &links))
    }

    /// Releases all leases of earlier boots, whose interfaces ended with the boot. Returns
    /// the tenants of this boot.
    fn drop_earlier_boots(
        &self,
        transaction: &mut Transaction<'_>,
        mut tenants: Vec<Tenant>,
    ) -> Result<Vec<Tenant>, StoreError> {
        let is_earlier = |tenant: &mut Tenant| tenant.boot_id != self.boot_id;
        for earlier in tenants.extract_if(.., is_earlier) {
            stage_release(transaction, &earlier, self.now)?;
        }
        Ok(tenants)
    }
}

/// Returns whether a container may be on a network, judging by the host's interfaces:
/// whether there are any that could make a sighting.
fn may_be_in_use(network: &Network, links: &[Link]) -> bool {
    let is_its_own = |link: &Link| network.network_interface.as_ref() == Some(&link.name);
    match Plumbing::of(network).unwrap_or_default() {
        // A container keeps its veth when the bridge is gone.
        Plumbing::Bridge => links
            .iter()
            .any(|link| is_its_own(link) || (link.kind == "veth" && link.master.is_none())),
        // Without a name, netavark took the interface of the default route.
        Plumbing::Macvlan | Plumbing::Ipvlan => {
            network.network_interface.is_none() || links.iter().any(is_its_own)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(interface: Option<&str>, driver: &str, links: &[(&str, &str)], expected: bool) {
        let network: Network = serde_json::from_value(json!({
            "name": "n", "id": "i", "driver": "berth", "network_interface": interface,
            "options": {"driver": driver},
        }))
        .expect("a network");
        let links: Vec<_> = links
            .iter()
            .map(|(name, kind)| Link {
                name: (*name).to_owned(),
                kind: (*kind).to_owned(),
                ..Link::default()
            })
            .collect();
        assert_eq!(may_be_in_use(&network, &links), expected);
    }

    #[test]
    fn whoever_may_be_on_a_network_is_looked_for() {
        let (lo, bridge, veth) = (("lo", ""), ("br", "bridge"), ("veth0", "veth"));
        check(Some("br"), "bridge", &[lo], false);
        check(Some("br"), "bridge", &[lo, bridge], true);
        check(Some("br"), "bridge", &[lo, veth], true);
        check(Some("eth0"), "macvlan", &[lo], false);
        check(Some("eth0"), "macvlan", &[lo, ("eth0", "")], true);
        check(None, "macvlan", &[lo], true);
        check(None, "ipvlan", &[lo], true);
    }
}
