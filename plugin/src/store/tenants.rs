//! Tenants: who has leased which addresses, and every change to that.

use std::net::IpAddr;

use super::codec::{network_key, push_name, seal_record, tenancy_key, unseal};
use super::error::StoreError;
use super::overlay::{Ordered, OrderedMut};
use super::reservations::check_names;
use super::tables::Table;
use super::transaction::Transaction;
use crate::rules::lease::{
    ContainerId, Kind, Lease, LeasedAddress, NetworkId, Reservation, Tenancy, Tenant, TenantReader,
};

impl Transaction<'_> {
    /// Returns the record of a tenancy.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it cannot be read; [`StoreError::Name`] if the
    /// tenancy's names cannot be keys.
    pub fn tenant(&self, tenancy: &Tenancy) -> Result<Option<Tenant>, StoreError> {
        self.record(&tenancy_key(tenancy)?)
    }

    /// Returns the record of a tenancy that has a lease.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant); [`StoreError::Damaged`] if there is none.
    pub fn holder(&self, tenancy: &Tenancy) -> Result<Tenant, StoreError> {
        let key = tenancy_key(tenancy)?;
        self.record(&key)?.ok_or_else(|| self.overlay.damaged(&key))
    }

    /// Returns the tenants of a network, by container id and interface.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn tenants(&self, network: &NetworkId) -> Result<Vec<Tenant>, StoreError> {
        self.read_tenants(&network_key(Table::Tenant, network)?)
    }

    /// Returns the tenants of one container on a network, by interface.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn tenants_of(
        &self,
        network: &NetworkId,
        container: &ContainerId,
    ) -> Result<Vec<Tenant>, StoreError> {
        let mut prefix = network_key(Table::Tenant, network)?;
        push_name(&mut prefix, "container id", container.as_str())?;
        self.read_tenants(&prefix)
    }

    /// Returns the tenants of all networks, by network id, container id and
    /// interface.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn all_tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.read_tenants(&Table::Tenant.prefix())
    }

    fn read_tenants(&self, prefix: &[u8]) -> Result<Vec<Tenant>, StoreError> {
        let mut reader = TenantReader::default();
        self.read_all(prefix, |key, value| reader.read(unseal(key, value)?))
    }

    /// Returns the tenants of all networks, each with a flag for whether it is filed under its
    /// own names.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub(super) fn filed_tenants(&self) -> Result<Vec<(Tenant, bool)>, StoreError> {
        let mut reader = TenantReader::default();
        self.read_all(&Table::Tenant.prefix(), |key, value| {
            let tenant = reader.read(unseal(key, value)?)?;
            let is_filed = tenancy_key(&tenant.tenancy).is_ok_and(|own| own == key);
            Some((tenant, is_filed))
        })
    }

    /// Leases exactly the `wanted` addresses to a tenant, in this order, each with a
    /// new generation, and returns the tenant as stored.
    ///
    /// `tenant.leased` is ignored. An address that the tenant had and no longer wants is free
    /// at once, without a reservation; any reservation of a wanted address ends. If nothing is
    /// wanted, the tenant's record is deleted too. Nothing checks that a pool offers the
    /// addresses, because static ones may lie anywhere.
    ///
    /// # Errors
    /// [`StoreError::Leased`] if a wanted address is leased to another tenancy,
    /// [`StoreError::Repeated`] if one is wanted twice. Nothing is staged then.
    pub fn lease_to(
        &mut self,
        mut tenant: Tenant,
        wanted: &[(IpAddr, Kind)],
    ) -> Result<Tenant, StoreError> {
        let network = tenant.tenancy.network_id.clone();
        let tenant_key = tenancy_key(&tenant.tenancy)?;
        for (at, (address, _)) in wanted.iter().enumerate() {
            if wanted[..at].iter().any(|(earlier, _)| earlier == address) {
                return Err(StoreError::Repeated { address: *address });
            }
            match self.lease(&network, *address)? {
                Some(lease) if lease.tenancy != tenant.tenancy => {
                    return Err(StoreError::Leased {
                        address: *address,
                        tenancy: lease.tenancy,
                    });
                }
                Some(_) | None => {}
            }
        }
        let stored: Option<Tenant> = self.record(&tenant_key)?;
        let before: Vec<_> = stored.map_or_else(Vec::new, |tenant| tenant.addresses());
        for address in &before {
            let dropped = !wanted.iter().any(|(wish, _)| wish == address);
            if dropped && !self.is_anothers(&tenant.tenancy, *address)? {
                self.delete_lease(&network, *address)?;
                self.give(&network, *address)?;
            }
        }
        tenant.leased.clear();
        for (address, kind) in wanted.iter().copied() {
            if !before.contains(&address) {
                match self.reservation(&network, address)? {
                    Some(ended) => self.remove_reservation(&network, address, &ended)?,
                    None => self.take(&network, address)?,
                }
            }
            self.meta.generation += 1;
            let generation = self.meta.generation;
            let lease = Lease {
                tenancy: tenant.tenancy.clone(),
                generation,
                kind,
            };
            self.put_lease(address, &lease)?;
            tenant.leased.push(LeasedAddress {
                address,
                generation,
                kind,
            });
        }
        self.put_tenant(tenant_key, &tenant);
        Ok(tenant)
    }

    /// Replaces the tenant's record, except for its leased addresses.
    ///
    /// # Errors
    /// [`StoreError::Changed`] unless the stored addresses equal `tenant.leased`, order
    /// included.
    pub fn update(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        let key = tenancy_key(&tenant.tenancy)?;
        let stored: Option<Tenant> = self.record(&key)?;
        if stored.is_none_or(|stored| stored.leased != tenant.leased) {
            return Err(StoreError::Changed {
                tenancy: tenant.tenancy.clone(),
            });
        }
        self.put_tenant(key, tenant);
        Ok(())
    }

    /// Ends a lease if this tenancy still has it with this generation. Returns whether it did;
    /// if not, nothing is changed.
    ///
    /// Given a reservation that ends after the release, the address stays reserved; otherwise
    /// it is free at once. The tenant's record is deleted with its last address.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the store cannot be read.
    pub fn release(
        &mut self,
        tenancy: &Tenancy,
        address: IpAddr,
        generation: u64,
        reservation: Option<Reservation>,
    ) -> Result<bool, StoreError> {
        let tenant_key = tenancy_key(tenancy)?;
        let Some(mut tenant) = self.record::<Tenant>(&tenant_key)? else {
            return Ok(false);
        };
        let is_it =
            |leased: &LeasedAddress| leased.address == address && leased.generation == generation;
        let Some(at) = tenant.leased.iter().position(is_it) else {
            return Ok(false);
        };
        let network = &tenancy.network_id;
        let lasts = |left: &Reservation| left.until.boot_ms > left.released.boot_ms;
        let reservation = reservation.filter(lasts);
        if let Some(reservation) = &reservation {
            // Names that cannot be keys must be refused before anything is staged.
            check_names(network, reservation)?;
        }
        tenant.leased.remove(at);
        self.put_tenant(tenant_key, &tenant);
        if self.is_anothers(tenancy, address)? {
            // The records disagree (`Violation::LeasedAddressWithoutLease`): the tenancy that
            // has the lease keeps it.
            return Ok(true);
        }
        self.delete_lease(network, address)?;
        match reservation {
            Some(reservation) => self.put_reservation(network, address, &reservation)?,
            None => self.give(network, address)?,
        }
        Ok(true)
    }

    /// Returns whether an address is leased to another tenancy.
    fn is_anothers(&self, tenancy: &Tenancy, address: IpAddr) -> Result<bool, StoreError> {
        let lease = self.lease(&tenancy.network_id, address)?;
        Ok(lease.is_some_and(|lease| lease.tenancy != *tenancy))
    }

    /// Stores a tenant, or deletes its record if nothing is leased to it.
    fn put_tenant(&mut self, key: Vec<u8>, tenant: &Tenant) {
        if tenant.leased.is_empty() {
            self.overlay.delete(key);
        } else {
            let value = seal_record(&key, tenant);
            self.overlay.put(key, value);
        }
    }
}
