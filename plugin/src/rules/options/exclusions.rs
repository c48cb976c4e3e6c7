//! The option `ipam_exclude`: a list of addresses that are never leased dynamically.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::OptionsError;
use crate::protocol::Network;
use crate::rules::pool::{Span, last_address, normalise};

/// Reads a list of exclusions that applies to any network, and returns the parts that lie in
/// this one.
pub(in crate::rules) fn excluded_here(list: &str, network: &Network) -> Vec<Span> {
    let subnets = subnets(network).into_iter();
    let subnets = subnets.filter_map(|subnet| Span::new(subnet.network(), last_address(subnet)));
    let all: Vec<_> = spans(list).flatten().collect();
    let here = |subnet: Span| all.iter().filter_map(move |span| span.shared(&subnet));
    subnets.flat_map(here).collect()
}

/// Reads a list of exclusions of a network.
///
/// # Errors
/// If an item is not an exclusion, or lies outside of the network's subnets.
pub(in crate::rules) fn excluded(list: &str, network: &Network) -> Result<Vec<Span>, OptionsError> {
    let subnets = subnets(network);
    spans(list)
        .map(|span| {
            let span = span?;
            let within =
                |subnet: &IpNetwork| subnet.contains(span.first()) && subnet.contains(span.last());
            if subnets.iter().any(within) {
                return Ok(span);
            }
            Err(OptionsError::ExclusionOutside {
                span,
                subnets: listed(network),
            })
        })
        .collect()
}

fn subnets(network: &Network) -> Vec<IpNetwork> {
    let subnets = network.subnets.iter();
    subnets.map(|subnet| normalise(subnet.subnet)).collect()
}

/// Returns the subnets that a network has, for a message.
pub(in crate::rules) fn listed(network: &Network) -> String {
    let subnets: Vec<_> = subnets(network).iter().map(IpNetwork::to_string).collect();
    match subnets.is_empty() {
        true => "it has none".to_owned(),
        false => subnets.join(", "),
    }
}

/// Reads a list of exclusions, separated by commas, semicolons or white space.
pub(super) fn spans(list: &str) -> impl Iterator<Item = Result<Span, OptionsError>> {
    list.split(|c: char| matches!(c, ',' | ';') || c.is_whitespace())
        .filter(|item| !item.is_empty())
        .map(|item| {
            exclusion(item).ok_or_else(|| OptionsError::Exclusion {
                item: item.to_owned(),
            })
        })
}

/// Reads one exclusion: `10.0.0.9`, `10.0.0.9-10.0.0.20` or `10.0.0.16/28`.
///
/// Host bits of a subnet are dropped, as Podman drops them from `--subnet`.
fn exclusion(item: &str) -> Option<Span> {
    if let Some((address, prefix)) = item.split_once('/') {
        // `ipnetwork` also reads `/+8` and `/255.0.0.0`.
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let subnet = IpNetwork::new(address.parse().ok()?, prefix.parse().ok()?).ok()?;
        return Span::new(subnet.network(), last_address(subnet)).filter(|_| digits);
    }
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
    Span::new(first, last)
}
