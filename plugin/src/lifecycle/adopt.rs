//! Leases for what namespaces hold and the store does not know of. Either it was lost, or
//! the machine has booted, or a network is in use of which it has never leased an
//! address, because the network was removed and made again with another id, or comes from
//! Podman's own allocation.

use std::net::IpAddr;
use std::path::Path;

use super::reclaim::stage_release;
use super::session::{Session, SessionError, note};
use crate::protocol::Network;
use crate::rules::attachment::Attachment;
use crate::rules::history::Line;
use crate::rules::lease::{Kind, NetworkId, Tenancy};
use crate::rules::options::Plumbing;
use crate::sight::survey::{Adoption, Survey, SurveyError, adoptions};
use crate::sight::{self, Link, PathFact};
use crate::store::{StoreError, Transaction};

impl Session<'_> {
    /// Adopts what namespaces hold on our networks and the store does not know of,
    /// durably; releases leases of an earlier boot, each with a reservation. Returns what
    /// was adopted. Repeating it changes nothing.
    ///
    /// `survey` must have been taken in this session. While somebody may be hidden on one
    /// of the networks, the store does not count as surveyed.
    ///
    /// # Errors
    /// If the store fails. Nothing is changed then.
    pub fn adopt(&self, survey: &Survey) -> Result<Vec<Adoption>, SessionError> {
        let mut transaction = self.store.begin();
        let dynamic = |_: &Tenancy, _: IpAddr| Kind::Dynamic;
        let adoptions = self.stage_adoption(&mut transaction, survey, &dynamic)?;
        // A1
        transaction.commit(self.now)?;
        Ok(adoptions)
    }

    /// As [`Session::adopt`], but only staged; `kind` says how somebody came by an
    /// address, which no namespace shows.
    ///
    /// # Errors
    /// As [`Session::adopt`].
    pub fn stage_adoption(
        &self,
        transaction: &mut Transaction<'_>,
        survey: &Survey,
        kind: &dyn Fn(&Tenancy, IpAddr) -> Kind,
    ) -> Result<Vec<Adoption>, SessionError> {
        self.drop_earlier_boots(transaction)?;
        let tenants = transaction.all_tenants()?;
        let delegation = &self.podman.delegation;
        let mut adoptions = adoptions(survey, &tenants, delegation, self.now);
        for adoption in &mut adoptions {
            let tenancy = &adoption.tenant.tenancy;
            let known = tenants.iter().find(|known| known.tenancy == *tenancy);
            for (address, own) in &mut adoption.addresses {
                if !known.is_some_and(|known| known.has_leased(*address)) {
                    *own = kind(tenancy, *address);
                }
            }
            let tenant = transaction.lease_to(adoption.tenant.clone(), &adoption.addresses)?;
            // Before the commit, because it was seen in any case; a repeated line does no
            // harm.
            note(self.podman, &[Line::began(&tenant, true, None)]);
            log::info!(
                "adopted container {} on network {}: it holds {:?}",
                adoption.tenant.tenancy.container_id.short(),
                adoption.tenant.network_name,
                adoption.addresses
            );
        }
        match survey.doubt() {
            None => transaction.set_surveyed(),
            Some(doubt) => log::info!("not everything could be seen: {doubt}"),
        }
        Ok(adoptions)
    }

    /// Adopts what live namespaces hold, unless that was done already in the life of this
    /// store and boot, and for the networks that are asked for. On return it is durable.
    /// Returns those of the networks on which somebody may be hidden, each with the
    /// reason.
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
            let network = &attachment.network;
            if self.store.is_surveyed() && !self.is_unknown_in_use(network)? {
                continue;
            }
            let mut survey = self.survey_including(network)?;
            // Podman has told us whose namespace this is.
            if let PathFact::There(key) = sight::examine(netns) {
                let container = attachment.container_id.clone();
                survey.containers.insert(key, container);
            }
            self.adopt(&survey)?;
            doubts.extend(survey.doubt_about(network).map(|doubt| (network, doubt)));
        }
        Ok(doubts)
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

    /// Releases all leases of earlier boots. Their interfaces ended with the boot.
    fn drop_earlier_boots(&self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        for tenant in transaction.all_tenants()? {
            if tenant.boot_id != self.boot_id {
                stage_release(transaction, &tenant, self.now)?;
            }
        }
        Ok(())
    }
}

/// Returns whether a container may be on a network, by the host's interfaces: those that
/// make a sighting.
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
