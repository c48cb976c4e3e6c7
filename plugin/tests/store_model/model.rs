//! The model: what a store should be, on maps.

use std::collections::BTreeMap;
use std::net::IpAddr;

use berth::rules::lease::{Kind, LeasedAddress, Moment, Reservation, Tenancy, Tenant};
use berth::rules::pool::{Family, Pool, last_address, number};

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) leases: BTreeMap<(String, IpAddr), (Tenancy, u64, Kind)>,
    pub(crate) tenants: BTreeMap<Tenancy, Tenant>,
    pub(crate) reservations: BTreeMap<(String, IpAddr), Reservation>,
    pub(crate) pools: BTreeMap<String, Vec<Pool>>,
    pub(crate) cursors: BTreeMap<(String, IpAddr), IpAddr>,
    pub(crate) generation: u64,
}

impl Model {
    pub(crate) fn prepare(&mut self, network: &str, pools: &[Pool], now: Moment) {
        self.cursors.retain(|(owner, subnet), _| {
            owner != network
                || pools.iter().any(|pool| pool.subnet().network() == *subnet)
                || !self
                    .pools
                    .get(network)
                    .is_some_and(|old| old.iter().any(|pool| pool.subnet().network() == *subnet))
        });
        self.pools.insert(network.to_owned(), pools.to_vec());
        self.reservations.retain(|(owner, _), reservation| {
            owner != network || reservation.until.boot_ms > now.boot_ms
        });
    }

    pub(crate) fn lease_to(
        &mut self,
        mut tenant: Tenant,
        wanted: &[(IpAddr, Kind)],
    ) -> Option<Tenant> {
        let network = tenant.tenancy.network_id.to_string();
        for (at, (address, _)) in wanted.iter().enumerate() {
            let other = self
                .leases
                .get(&(network.clone(), *address))
                .is_some_and(|(holder, ..)| *holder != tenant.tenancy);
            if other || wanted[..at].iter().any(|(earlier, _)| earlier == address) {
                return None;
            }
        }
        self.leases
            .retain(|_, (holder, ..)| *holder != tenant.tenancy);
        self.tenants.remove(&tenant.tenancy);
        tenant.leased.clear();
        for (address, kind) in wanted.iter().copied() {
            self.generation += 1;
            let key = (network.clone(), address);
            self.reservations.remove(&key);
            let lease = (tenant.tenancy.clone(), self.generation, kind);
            self.leases.insert(key, lease);
            tenant.leased.push(LeasedAddress {
                address,
                generation: self.generation,
                kind,
            });
        }
        if !wanted.is_empty() {
            self.tenants.insert(tenant.tenancy.clone(), tenant.clone());
        }
        Some(tenant)
    }

    pub(crate) fn release(
        &mut self,
        tenancy: &Tenancy,
        address: IpAddr,
        generation: u64,
        reservation: Option<Reservation>,
    ) -> bool {
        let key = (tenancy.network_id.to_string(), address);
        let matches = self
            .leases
            .get(&key)
            .is_some_and(|lease| lease.0 == *tenancy && lease.1 == generation);
        if !matches {
            return false;
        }
        self.leases.remove(&key);
        let tenant = self.tenants.get_mut(tenancy).unwrap();
        tenant.leased.retain(|leased| leased.address != address);
        if tenant.leased.is_empty() {
            self.tenants.remove(tenancy);
        }
        if let Some(reservation) = reservation
            .filter(|reservation| reservation.until.boot_ms > reservation.released.boot_ms)
        {
            self.reservations.insert(key, reservation);
        }
        true
    }

    pub(crate) fn forget(&mut self, network: &str) -> bool {
        if self.leases.keys().any(|(owner, _)| owner == network) {
            return false;
        }
        self.reservations.retain(|(owner, _), _| owner != network);
        self.cursors.retain(|(owner, _), _| owner != network);
        self.pools.remove(network);
        true
    }

    pub(crate) fn reboot(&mut self, last_ms: u64, now: Moment) {
        for reservation in self.reservations.values_mut() {
            reservation.until.boot_ms =
                reservation.until.boot_ms.saturating_sub(last_ms) + now.boot_ms;
            let ago = last_ms.saturating_sub(reservation.released.boot_ms);
            reservation.released.boot_ms = now.boot_ms.saturating_sub(ago);
        }
    }

    pub(crate) fn first_free(&self, network: &str, pool: &Pool, from: IpAddr) -> Option<IpAddr> {
        if pool.family() != Family::of(from) {
            return None;
        }
        let low = number(from).max(number(pool.subnet().network()));
        (low..=number(last_address(pool.subnet())))
            .map(|number| pool.family().address(number))
            .find(|address| {
                let key = (network.to_owned(), *address);
                pool.offers(*address)
                    && !self.leases.contains_key(&key)
                    && !self.reservations.contains_key(&key)
            })
    }

    pub(crate) fn reserved_for(
        &self,
        network: &str,
        pool: &Pool,
        id: &str,
        name: &str,
    ) -> Option<IpAddr> {
        let latest = |matches: &dyn Fn(&Reservation) -> bool| {
            let here = self
                .reservations
                .iter()
                .filter(|((owner, address), reservation)| {
                    owner == network && pool.covers(*address) && matches(reservation)
                });
            here.max_by_key(|((_, address), reservation)| {
                let released = reservation.released;
                (
                    released.boot_ms,
                    released.wall_ms,
                    std::cmp::Reverse(*address),
                )
            })
            .map(|((_, address), _)| *address)
        };
        latest(&|reservation| reservation.container_id.as_str() == id).or_else(|| {
            let named = |reservation: &Reservation| reservation.container_name.as_str() == name;
            (!name.is_empty()).then(|| latest(&named)).flatten()
        })
    }

    pub(crate) fn next_yield(&self, network: &str, pool: &Pool) -> Option<IpAddr> {
        let here = self
            .reservations
            .iter()
            .filter(|((owner, address), _)| owner == network && pool.offers(*address));
        here.min_by_key(|((_, address), reservation)| {
            (reservation.kind, reservation.until.boot_ms, *address)
        })
        .map(|((_, address), _)| *address)
    }
}
