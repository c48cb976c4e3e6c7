//! A host at work: what it does here is what berth does around the crate. It claims, leases,
//! plumbs and verifies; takes down and releases.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use berth_share::evict::{Evidence, PROBES, Probed};
use berth_share::operator::{self, Rejoin};
use berth_share::span::Span;
use berth_share::{Facts, Keys, Lease, Member, Proof, ShareError, Want};

use super::etcd::Line;
use super::world::{ADDRESSES, Command, Fault, Host, World, address, terms};

/// Every container is called so.
const CONTAINER: &str = "c0ffee";

/// One host at work.
pub(crate) struct Actor<'w> {
    pub(crate) world: &'w Rc<RefCell<World>>,
    pub(crate) host: usize,
}

impl Actor<'_> {
    pub(crate) fn act(&self, command: &Command) {
        match command {
            Command::StartDynamic => self.start(None),
            Command::StartStatic(number) => self.start(Some(address(*number))),
            Command::Stop(which) => self.stop(*which),
            Command::Die(which) => {
                self.pick(*which)
                    .into_iter()
                    .for_each(|gone| self.unplumb(gone));
            }
            Command::Collect => self.collect(),
            Command::Reboot => self.change(|host| {
                host.boot += 1;
                host.disk.clone_from(&host.synced);
                host.uptime = 0;
                host.running.clear();
                host.leases.clear();
            }),
            Command::Cut(is_cut) => self.change(|host| host.is_cut = *is_cut),
            Command::Expire => self.expire(),
            Command::Evict(target) => self.evict(*target),
            Command::Rejoin => self.rejoin(),
            Command::Accept => self.accept(&[]),
            Command::Twin(other) => self.twin(*other),
            Command::Recover => {
                let count = self.world.borrow().hosts.len();
                for host in (0..count).chain(0..count) {
                    if host == self.host {
                        self.collect();
                    } else {
                        World::run(self.world, host, &Command::Collect);
                    }
                }
                self.accept(&[]);
            }
            Command::Deliver(which) => {
                let mut world = self.world.borrow_mut();
                if !world.late.is_empty() {
                    let at = which % world.late.len();
                    let (by, sent) = world.late.remove(at);
                    world.data.carry_out(&by, &sent);
                }
            }
            Command::CopiedTo(other) => self.copied_to(*other),
            Command::Backup => {
                let mut world = self.world.borrow_mut();
                world.backup = Some(world.data.clone());
            }
            Command::Restore => self.restore(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Host)) {
        change(&mut self.world.borrow_mut().hosts[self.host]);
    }

    fn look<T>(&self, look: impl FnOnce(&Host) -> T) -> T {
        look(&self.world.borrow().hosts[self.host])
    }

    /// A point between two effects at which the host can be killed. `false` if it was.
    fn survives(&self) -> bool {
        let mut world = self.world.borrow_mut();
        if matches!(
            world.faults.last(),
            Some(Fault::KillBefore | Fault::KillAfter)
        ) {
            world.faults.pop();
            world.hosts[self.host].killed = true;
        }
        !world.hosts[self.host].killed
    }

    fn pick(&self, which: usize) -> Option<IpAddr> {
        self.look(|host| {
            let count = host.running.len();
            (count > 0).then(|| host.running[which % count])
        })
    }

    fn unplumb(&self, gone: IpAddr) {
        self.change(|host| host.running.retain(|one| *one != gone));
    }

    pub(crate) fn with_member<T>(
        &self,
        act: impl FnOnce(&mut Member<'_>) -> Result<T, ShareError>,
    ) -> Result<T, ShareError> {
        self.with_line(false, |(keys, facts), registry, file, random| {
            let mut member = Member::open(keys, facts, registry, file, random)?;
            member.join(&terms())?;
            act(&mut member)
        })
    }

    fn with_line<T>(
        &self,
        as_operator: bool,
        act: impl FnOnce(
            (&Keys, &Facts),
            &mut Line,
            &mut Line,
            &mut dyn FnMut() -> u128,
        ) -> Result<T, ShareError>,
    ) -> Result<T, ShareError> {
        let line = || Line {
            world: Rc::clone(self.world),
            host: self.host,
            as_operator,
        };
        let facts = self.look(|host| Facts {
            name: format!("host{}", self.host),
            machine: host.machine.clone(),
            boot: format!("boot {}", host.boot),
            uptime: host.uptime,
            store: "/run/berth".into(),
            ttl: Duration::from_secs(3600),
        });
        let keys = self.world.borrow().keys.clone();
        let mut random = || self.world.borrow_mut().draw();
        act((&keys, &facts), &mut line(), &mut line(), &mut random)
    }

    fn start(&self, wanted: Option<IpAddr>) {
        let (leased, running) = self.look(|host| (host.leases.clone(), host.running.clone()));
        let usable = |address| !leased.contains(&address);
        // A container that has died without a word is started again: it has its lease yet.
        if wanted.is_some_and(|wanted| running.contains(&wanted)) {
            return;
        }
        let range = Span::new(address(1), address(ADDRESSES)).expect("a range");
        let want = wanted.map_or(
            Want::Dynamic {
                range,
                start: range.at(self.host as u128 * 2),
                usable: &usable,
            },
            Want::Static,
        );
        self.change(|host| host.claiming = true);
        let claimed = self.with_member(|member| member.claim(CONTAINER, "web", &[want]));
        self.change(|host| host.claiming = false);
        let Ok([claim]) = claimed.as_deref() else {
            return;
        };
        if !self.survives() {
            return;
        }
        self.change(|host| {
            host.leases.insert(claim.address);
        });
        if !self.survives() {
            return;
        }
        {
            // I1, at the moment when it counts.
            let mut world = self.world.borrow_mut();
            let key = world.keys.address(claim.address);
            let value = world.data.entries.get(&key);
            assert_eq!(
                value.map(Vec::as_slice),
                Some(claim.value.as_bytes()),
                "I1: {} is plumbed without a claim",
                claim.address
            );
            world.started += 1;
            world.hosts[self.host].running.push(claim.address);
            world.check();
        }
        if !self.survives() {
            return;
        }
        let proof = self.with_member(|member| member.verify(std::slice::from_ref(claim)));
        if let Ok(Proof::Lost(..)) = proof {
            self.unplumb(claim.address);
            self.change(|host| {
                host.leases.remove(&claim.address);
            });
        }
    }

    fn stop(&self, which: usize) {
        let Some(gone) = self.pick(which) else {
            return;
        };
        self.unplumb(gone);
        if !self.survives() {
            return;
        }
        self.release(gone);
        if self.survives() {
            let _ = self.with_member(|member| member.release(gone, CONTAINER));
        }
    }

    /// The local release.
    fn release(&self, gone: IpAddr) {
        self.change(|host| {
            host.leases.remove(&gone);
        });
    }

    fn collect(&self) {
        let dead = self.look(|host| {
            let dead = host.leases.iter().filter(|one| !host.running.contains(one));
            dead.copied().collect::<Vec<_>>()
        });
        dead.into_iter().for_each(|gone| self.release(gone));
        let leases = self.look(|host| {
            let leases = host.leases.iter().map(|address| Lease {
                address: *address,
                container: CONTAINER.to_owned(),
                name: "web".to_owned(),
            });
            leases.collect::<Vec<_>>()
        });
        let _ = self.with_member(|member| member.reconcile(&leases, true));
    }

    fn expire(&self) {
        let mut world = self.world.borrow_mut();
        if let Some(disk) = &world.hosts[self.host].disk {
            let key = world.keys.live(&disk.host);
            world.data.entries.remove(&key);
        }
    }

    fn evict(&self, target: usize) {
        let Some(called) = self.world.borrow().hosts[target]
            .disk
            .as_ref()
            .map(|one| one.host.clone())
        else {
            return;
        };
        // A setup does not take an hour from its claim to its interface.
        let between = |host: &Host| host.busy && !host.claiming;
        if between(&self.world.borrow().hosts[target]) {
            return;
        }
        self.evict_called(called.as_str());
    }

    pub(crate) fn evict_called(&self, called: &str) {
        let mut probe = |asked: &[IpAddr]| {
            let world = self.world.borrow();
            let answers = |one: &IpAddr| world.hosts.iter().any(|host| host.running.contains(one));
            let probed = asked.iter().map(|one| Probed {
                address: *one,
                probes: PROBES,
                answered: answers(one),
            });
            Ok(Evidence {
                link_answers: true,
                from_parent: true,
                from_sibling: true,
                addresses: probed.collect(),
            })
        };
        let _ = self.with_line(true, |(keys, facts), registry, file, random| {
            let mut member = Member::open(keys, facts, registry, file, random)?;
            operator::evict(&mut member, called, &mut probe).map(|_| ())
        });
    }

    fn rejoin(&self) {
        let _ = self.with_line(true, |own, registry, file, random| {
            operator::rejoin(own, registry, file, random, Rejoin::Anew)
        });
    }

    pub(crate) fn accept(&self, without: &[&str]) {
        let _ = self.with_line(true, |(keys, facts), registry, file, random| {
            let mut member = Member::open(keys, facts, registry, file, random)?;
            operator::accept(&mut member, without)
        });
    }

    fn copied_to(&self, other: usize) {
        let mut world = self.world.borrow_mut();
        let disk = world.hosts[self.host].disk.clone();
        if other == self.host || world.hosts[other].busy || !world.hosts[other].running.is_empty() {
            return;
        }
        let boot = world.hosts[other].boot + 1;
        let machine = format!("machine {}", world.draw());
        world.hosts[other] = Host {
            synced: disk.clone(),
            disk,
            machine,
            boot,
            ..Host::default()
        };
    }

    fn twin(&self, other: usize) {
        let (disk, machine) = self.look(|host| (host.disk.clone(), host.machine.clone()));
        let is_free = |host: &Host| !host.busy && host.running.is_empty();
        if other == self.host || !is_free(&self.world.borrow().hosts[other]) {
            return;
        }
        // A copy that is first cannot be told from the original after a reboot.
        if self.with_member(|member| member.beat()).is_ok() {
            let mut world = self.world.borrow_mut();
            world.hosts[other] = Host {
                disk,
                machine,
                boot: 77,
                ..Host::default()
            };
        }
    }

    /// An operator restores the backup, and a host that has beaten since then notices before
    /// anybody claims: the rest of the risk nobody can take away.
    fn restore(&self) {
        {
            let mut world = self.world.borrow_mut();
            if world
                .hosts
                .iter()
                .enumerate()
                .any(|(at, host)| host.busy && at != self.host)
            {
                return;
            }
            // Etcd has forgotten both of a host and its twin: neither can be told from the
            // other. An operator who restores has no copies about.
            let identities = world.identities();
            let several: BTreeSet<_> = identities.iter().collect();
            if several.len() != identities.len() {
                return;
            }
            let Some(backup) = world.backup.clone() else {
                return;
            };
            world.data = backup;
            // Connections do not outlive the cluster.
            world.late.clear();
            world.faults.clear();
            world.hosts.iter_mut().for_each(|host| host.is_cut = false);
        }
        let count = self.world.borrow().hosts.len();
        for host in 0..count {
            let actor = Actor {
                world: self.world,
                host,
            };
            let _ = actor.with_member(|member| member.beat());
        }
    }
}
