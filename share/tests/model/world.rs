//! Hosts with containers, leases and a disk, and what happens to them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use berth_share::key::PREFIX;
use berth_share::meta::{Subnet, Terms};
use berth_share::registry::Transaction;
use berth_share::{Holder, Identity, Keys};

use super::actor::Actor;
use super::etcd::{Author, Data};

/// How many addresses the share has: few, so that hosts meet.
pub(crate) const ADDRESSES: u8 = 5;

/// What befalls one call to etcd or to the disk.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    None,
    LoseRequest,
    LoseAnswer,
    /// It is carried out when `Deliver` says so; the sender hears nothing.
    Late,
    /// It is carried out now, and once more later.
    Twice,
    /// It is carried out twice, and the sender hears of the second time.
    Repeat,
    KillBefore,
    KillAfter,
    /// Before it, another host does something.
    Inside(usize, Box<Command>),
}

/// What a host, its operator or fate does.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    StartDynamic,
    StartStatic(u8),
    Stop(usize),
    /// A container dies, and nobody is told.
    Die(usize),
    Collect,
    Reboot,
    Cut(bool),
    /// The host's lease in etcd runs out.
    Expire,
    Evict(usize),
    Rejoin,
    Accept,
    /// A message that was held up arrives.
    Deliver(usize),
    /// A copy of the host's disk starts on another machine in that host's place.
    CopiedTo(usize),
    /// A copy in every detail; the original beats before the copy does.
    Twin(usize),
    /// Every host collects; then the operator accepts.
    Recover,
    Backup,
    Restore,
}

#[derive(Default)]
pub(crate) struct Host {
    pub disk: Option<Identity>,
    /// What of it outlives a power cut.
    pub synced: Option<Identity>,
    pub killed: bool,
    pub is_cut: bool,
    pub(crate) machine: String,
    pub(crate) boot: u64,
    pub(crate) uptime: u64,
    pub(crate) leases: BTreeSet<IpAddr>,
    /// What the kernel shows: who answers on the LAN.
    pub running: Vec<IpAddr>,
    pub(crate) busy: bool,
    /// It is claiming, and has no answer yet.
    pub(crate) claiming: bool,
}

pub(crate) struct World {
    pub data: Data,
    pub late: Vec<(Author, Transaction)>,
    pub faults: Vec<Fault>,
    pub hosts: Vec<Host>,
    pub(crate) keys: Keys,
    pub(crate) backup: Option<Data>,
    pub(crate) random: u128,
    /// How many containers got an address: a run that starts nothing shows nothing.
    pub started: usize,
    /// How many hosts may not speak for themselves at the end.
    pub refused: usize,
}

pub(crate) fn terms() -> Terms {
    Terms {
        subnets: vec![Subnet {
            subnet: "10.0.0.0/24".into(),
            gateway: None,
            first: address(1),
            last: address(ADDRESSES),
        }],
    }
}

pub(crate) fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, number).into()
}

impl World {
    pub(crate) fn new(hosts: usize) -> Rc<RefCell<Self>> {
        let host = |number: usize| Host {
            machine: format!("machine {number}"),
            ..Host::default()
        };
        Rc::new(RefCell::new(Self {
            data: Data::default(),
            late: Vec::new(),
            faults: Vec::new(),
            hosts: (0..hosts).map(host).collect(),
            keys: Keys::new(PREFIX, &"lan".parse().expect("a name")),
            backup: None,
            random: 1,
            started: 0,
            refused: 0,
        }))
    }

    /// Does something, unless the host is in the midst of something else. Then checks that no
    /// address is in use twice.
    pub(crate) fn run(world: &Rc<RefCell<Self>>, host: usize, command: &Command) {
        if world.borrow().hosts[host].busy {
            return;
        }
        world.borrow_mut().hosts[host].busy = true;
        Actor { world, host }.act(command);
        let mut all = world.borrow_mut();
        let this = &mut all.hosts[host];
        this.busy = false;
        // Whoever was killed is started again; what it was at is lost.
        this.killed = false;
        this.uptime += 1000;
        all.check();
    }

    pub(crate) fn check(&self) {
        let mut seen = BTreeMap::new();
        for (number, host) in self.hosts.iter().enumerate() {
            for address in &host.running {
                let other = seen.insert(*address, number);
                assert_eq!(
                    other, None,
                    "{address} is in use twice, by {number} as well"
                );
            }
        }
    }

    /// Returns how many addresses are taken in the share.
    pub(crate) fn taken(&self) -> usize {
        let span = self.keys.all_addresses();
        self.data.entries.range(span.first..span.end).count()
    }

    pub(crate) fn draw(&mut self) -> u128 {
        // Any sequence without repetition will do; this one also spreads.
        self.random += 1;
        self.random
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    pub(crate) fn identities(&self) -> Vec<String> {
        let disks = self.hosts.iter().filter_map(|host| host.disk.as_ref());
        disks.map(|disk| disk.host.as_str().to_owned()).collect()
    }
}

/// Ends all that is under way, lets every host come back, and takes everything down: then no
/// address is taken any more, for nothing leaks.
pub(crate) fn wind_up(world: &Rc<RefCell<World>>) {
    world.borrow_mut().faults.clear();
    let count = world.borrow().hosts.len();
    for host in 0..count {
        World::run(world, host, &Command::Cut(false));
        while !world.borrow().hosts[host].running.is_empty() {
            World::run(world, host, &Command::Stop(0));
        }
    }
    while !world.borrow().late.is_empty() {
        World::run(world, 0, &Command::Deliver(0));
    }
    // Copies and evicted hosts join anew; everybody learns of a new epoch.
    for host in 0..count {
        let refused = Actor { world, host }
            .with_member(|member| member.beat())
            .is_err();
        if refused {
            world.borrow_mut().refused += 1;
            World::run(world, host, &Command::Rejoin);
        }
    }
    for _ in 0..2 {
        for host in 0..count {
            World::run(world, host, &Command::Collect);
        }
    }
    // Identities that nobody has any more cannot put anything back; then they are evicted.
    let gone: Vec<_> = {
        let world = world.borrow();
        let known = world.identities();
        let span = world.keys.hosts();
        let names = world.data.entries.range(span.first..span.end);
        let names =
            names.map(|(key, _)| String::from_utf8_lossy(&key[key.len() - 32..]).into_owned());
        names.filter(|host| !known.contains(host)).collect()
    };
    let gone: Vec<_> = gone.iter().map(String::as_str).collect();
    Actor { world, host: 0 }.accept(&gone);
    let left: Vec<_> = {
        let world = world.borrow();
        let known = world.identities();
        let span = world.keys.all_addresses();
        let values = world.data.entries.range(span.first..span.end);
        let holders = values.filter_map(|(_, value)| Holder::decode(value).ok());
        let holders = holders.map(|holder| holder.host.as_str().to_owned());
        holders.filter(|host| !known.contains(host)).collect()
    };
    for gone in left {
        let live = format!("{PREFIX}/lan/live/{gone}").into_bytes();
        world.borrow_mut().data.entries.remove(&live);
        Actor { world, host: 0 }.evict_called(&gone);
    }
}
