//! What netavark is asked to do: our request turned into netavark's. No I/O.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::protocol::{Network, Subnet};
use crate::rules::attachment::{Attachment, AttachmentOptions};
use crate::rules::options::{Plumbing, passed_on};
use crate::rules::pool::normalise;

/// How a netavark takes several addresses of one subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeveralPerSubnet {
    /// As they are, without anything else (netavark 2).
    AsTheyAre,
    /// netavark 1 pairs addresses with subnets one by one, so the subnet is repeated for
    /// each further address, without its gateway, which would otherwise be added to the
    /// bridge twice.
    RepeatedSubnets,
}

/// A container on one network, as netavark should make it or take it down.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    pub attachment: &'a Attachment,
    pub addresses: &'a [IpAddr],
}

impl Connection<'_> {
    /// Returns whether a subnet has more than one of the addresses.
    pub fn has_several_per_subnet(&self) -> bool {
        self.attachment
            .network
            .subnets
            .iter()
            .any(|subnet| self.within(subnet).count() > 1)
    }

    /// Returns the driver that does the work.
    fn plumbing(&self) -> Plumbing {
        Plumbing::of(&self.attachment.network).unwrap_or_default()
    }

    /// Returns the addresses of one subnet.
    fn within<'s>(&'s self, subnet: &Subnet) -> impl Iterator<Item = IpAddr> + use<'s> {
        let subnet = normalise(subnet.subnet);
        self.addresses
            .iter()
            .copied()
            .filter(move |address| subnet.contains(*address))
    }

    /// Returns netavark's setup request.
    pub fn setup_request(&self, several: SeveralPerSubnet) -> Value {
        self.request(self.for_setup(several))
    }

    /// Returns the network and what the container asks for on it, as netavark's own
    /// driver should set them up.
    pub fn for_setup(&self, several: SeveralPerSubnet) -> (Network, AttachmentOptions) {
        let mut subnets = Vec::new();
        let mut addresses = Vec::new();
        for subnet in &self.attachment.network.subnets {
            subnets.push(subnet.clone());
            addresses.extend(self.within(subnet));
            if several == SeveralPerSubnet::RepeatedSubnets {
                let bare = Subnet {
                    gateway: None,
                    ..subnet.clone()
                };
                let further = self.within(subnet).skip(1);
                subnets.extend(further.map(|_| bare.clone()));
            }
        }
        self.native(subnets, addresses)
    }

    /// As [`Connection::for_setup`] for a teardown: one address for each subnet.
    ///
    /// netavark 1 panics when there are fewer addresses than subnets, so a
    /// subnet whose address is not known gets its network address, which no
    /// container has.
    pub fn for_teardown(&self) -> (Network, AttachmentOptions) {
        let subnets = self.attachment.network.subnets.clone();
        let first = |subnet| {
            self.within(subnet)
                .next()
                .unwrap_or(normalise(subnet.subnet).network())
        };
        let addresses = subnets.iter().map(first).collect();
        self.native(subnets, addresses)
    }

    /// Returns the network with netavark's own driver, which takes the addresses it is
    /// given.
    fn native(&self, subnets: Vec<Subnet>, addresses: Vec<IpAddr>) -> (Network, AttachmentOptions) {
        let mut network = Network::clone(&self.attachment.network);
        network.driver = self.plumbing().as_str().to_owned();
        network.options = passed_on(&network.options);
        if !network.is_without_addresses() {
            network.ipam_options = BTreeMap::from([("driver".to_owned(), "host-local".to_owned())]);
        }
        network.subnets = subnets;
        let mut options = self.attachment.options.clone();
        options.static_ips = addresses;
        (network, options)
    }

    /// Returns netavark's whole request for this network.
    pub fn request(&self, (network, options): (Network, AttachmentOptions)) -> Value {
        let name = &self.attachment.network.name;
        let mut request = self.attachment.rest.clone();
        request.extend(Map::from_iter([
            (
                "container_id".to_owned(),
                json!(self.attachment.container_id),
            ),
            (
                "container_name".to_owned(),
                json!(self.attachment.container_name),
            ),
            (
                "port_mappings".to_owned(),
                self.attachment.port_mappings.clone(),
            ),
            ("networks".to_owned(), json!({ name: options })),
            ("network_info".to_owned(), json!({ name: network })),
        ]));
        Value::Object(request)
    }

    /// Takes the network's status block out of netavark's answer and returns it. An
    /// address that went with a repeated subnet gets its subnet's gateway back.
    pub fn status_block(&self, answer: &mut Value) -> Value {
        let mut status = answer[&self.attachment.network.name].take();
        let interfaces = status.get_mut("interfaces").and_then(Value::as_object_mut);
        let listed = interfaces.into_iter().flat_map(|map| map.values_mut());
        let subnets = listed.filter_map(|interface| interface.get_mut("subnets")?.as_array_mut());
        for entry in subnets.flatten() {
            let address = entry["ipnet"]
                .as_str()
                .and_then(|text| text.split('/').next()?.parse().ok());
            let gateway = address.and_then(|address| self.gateway_of(address));
            if let Some(gateway) = gateway
                && entry["gateway"].is_null()
            {
                entry["gateway"] = json!(gateway);
            }
        }
        status
    }

    fn gateway_of(&self, address: IpAddr) -> Option<IpAddr> {
        let subnets = &self.attachment.network.subnets;
        subnets
            .iter()
            .find(|subnet| normalise(subnet.subnet).contains(address))?
            .gateway
    }
}

#[cfg(test)]
mod tests;
