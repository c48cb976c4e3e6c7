//! Dead containers that had this container's name, or one of its published ports,
//! before it. What they left in the DNS and in the firewall would take precedence over
//! the container's own.

use std::collections::BTreeSet;

use super::contest::{Need, remove_dead};
use super::session::Session;
use super::{LifecycleError, reclaim::ReclaimError};
use crate::rules::attachment::Attachment;
use crate::rules::lease::{ContainerId, NetworkId, Tenant};
use crate::rules::ports::PublishedPorts;
use crate::sight::survey::{Record, SurveyError, name_records, port_records};
use crate::store::StoreError;

/// Takes back what dead tenants left under a container's name on one of its networks,
/// or with one of its published ports on any network. So the container gets its address
/// back, and its name resolves to no other. Tenants that are alive, or may be, are left
/// alone.
///
/// # Errors
/// If the store fails. If berth cannot read or take something down, it only warns: that
/// prevents no container from starting.
pub(super) fn clear_predecessors(
    session: &Session<'_>,
    attachments: &[Attachment],
) -> Result<(), LifecycleError> {
    let remembered = remembered(session, attachments).unwrap_or_else(|error| {
        log::warn!("{}", crate::chain(&error));
        BTreeSet::new()
    });
    let transaction = session.store.begin();
    let tenants = remembered
        .iter()
        .map(|(network, container)| transaction.tenants_of(network, container));
    let tenants = tenants.collect::<Result<Vec<Vec<Tenant>>, StoreError>>()?;
    let tenants = tenants.into_iter().flatten().collect();
    match remove_dead(session, tenants, Need::All) {
        Err(LifecycleError::Reclaim(error @ ReclaimError::Plumbing { .. })) => {
            log::warn!("{}", crate::chain(&error));
            Ok(())
        }
        done => done.map(|_| ()),
    }
}

/// Returns the containers that netavark remembers under the same name or port.
fn remembered(
    session: &Session<'_>,
    attachments: &[Attachment],
) -> Result<BTreeSet<(NetworkId, ContainerId)>, SurveyError> {
    let run_directory = &session.podman.delegation.config;
    let mut found = BTreeSet::new();
    for attachment in attachments {
        let network = &attachment.network;
        let is_its = |record: &Record| has_name(record, attachment);
        let records = name_records(run_directory, network)?.into_iter();
        let named = records.filter(is_its);
        found.extend(named.map(|record| (network.id.as_str().into(), record.container_id)));
    }
    let Some(attachment) = attachments.first() else {
        return Ok(found);
    };
    let ports = PublishedPorts::of(&attachment.port_mappings);
    if !ports.is_empty() {
        let records = port_records(run_directory, None)?.into_iter();
        let of_ports = records.filter(|(_, record)| has_port(record, attachment, &ports));
        found.extend(of_ports.map(|(network, record)| (network, record.container_id)));
    }
    Ok(found)
}

/// Returns whether a record's container is another one with this one's name as its
/// first name.
fn has_name(record: &Record, attachment: &Attachment) -> bool {
    let name = attachment.container_name.as_str();
    record.container_id != attachment.container_id
        && !name.is_empty()
        && record.names.first().is_some_and(|first| first == name)
}

/// Returns whether another container has one of these ports.
fn has_port(record: &Record, attachment: &Attachment, ports: &[PublishedPorts]) -> bool {
    let its = PublishedPorts::of(&record.port_mappings);
    record.container_id != attachment.container_id
        && its
            .iter()
            .any(|one| ports.iter().any(|other| one.overlaps(other)))
}
