//! Turns lines into spells: who held an address, from when until when.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::{End, Holder, Line};
use crate::rules::lease::{Kind, Tenant};

/// One container's time with one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spell {
    pub address: IpAddr,
    pub kind: Kind,
    /// Who held it, with all addresses of the same interface.
    pub holder: Holder,
    /// When it began, in milliseconds since the Unix epoch.
    pub from: u64,
    /// When it ended; `None` if the container still has the address, or if this is unknown.
    pub until: Option<u64>,
    pub outcome: Outcome,
    /// The evidence, or what failed; empty if the outcome says it all.
    pub reason: String,
}

/// The state of a spell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The container still has the address.
    Held,
    /// It has ended.
    Ended(End),
    /// It has ended, but the end was not recorded: `until` is the latest possible time.
    Unnoted,
}

impl Outcome {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Ended(end) => end.as_str(),
            Self::Unnoted => "unnoted",
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

const REBOOTED: &str = "the machine was rebooted";
const SUPERSEDED: &str = "the address was leased again";
const UNKNOWN: &str = "as far as berth knows: it cannot read the lease store";
const KILLED: &str = "berth was killed or could not write before it noted the end";

/// An address of a network.
type Place = (String, IpAddr);

/// A spell that has not ended yet.
struct Open {
    spell: Spell,
    /// When the lease was last recorded as begun; an adoption records this again.
    since: u64,
    /// The number of that line.
    line: usize,
}

/// Returns who held which address, in the order in which they got it. `present` are the present
/// tenants, if they are known, and `boot` is the present boot.
///
/// A missing line does not make the result wrong: a spell without an end continues if its
/// tenant is there, and a tenant without a beginning gets a spell.
pub fn spells(lines: &[Line], present: Option<&[Tenant]>, boot: &str) -> Vec<Spell> {
    let (mut spells, open) = read(lines);
    let mut open: BTreeMap<Place, Open> = open.into_iter().collect();
    for tenant in present.into_iter().flatten() {
        let holder = Holder::of(tenant);
        for (address, kind) in &holder.addresses {
            let place = (holder.network_id.clone(), *address);
            match open.remove(&place) {
                Some(own) if own.is_of(&holder) => {
                    spells.push(own.ended(None, Outcome::Held, ""));
                }
                other => {
                    let since = tenant.created.wall_ms;
                    spells.extend(
                        other.map(|own| own.ended(Some(since), Outcome::Unnoted, SUPERSEDED)),
                    );
                    spells.push(Spell::begun(&holder, *address, *kind, since));
                }
            }
        }
    }
    spells.extend(
        open.into_values()
            .map(|own| match (own.spell.holder.boot == boot, present) {
                (true, None) => own.ended(None, Outcome::Held, UNKNOWN),
                (true, Some(_)) => own.ended(None, Outcome::Unnoted, KILLED),
                (false, _) => own.ended(None, Outcome::Unnoted, REBOOTED),
            }),
    );
    spells.sort_by_cached_key(|spell| {
        let network = spell.holder.network.clone();
        (spell.from, network, spell.address)
    });
    spells
}

/// Returns the lines that begin a lease of this boot whose end is not recorded.
pub(super) fn open(lines: &[Line], boot: &str) -> HashSet<usize> {
    let (_, open) = read(lines);
    let open = open
        .into_values()
        .filter(|own| own.spell.holder.boot == boot);
    open.map(|own| own.line).collect()
}

/// Returns the spells that have ended, and those whose end is not recorded.
fn read(lines: &[Line]) -> (Vec<Spell>, HashMap<Place, Open>) {
    let mut ended = Vec::new();
    let mut open: HashMap<Place, Open> = HashMap::new();
    let mut boot = "";
    for (number, line) in lines.iter().enumerate() {
        let Some(holder) = line.holder() else {
            continue;
        };
        // A lease that ends may date from an earlier boot; one that begins is always of the
        // present boot.
        if matches!(line, Line::Began(_)) && holder.boot != boot {
            boot = &holder.boot;
            let earlier = open.extract_if(|_, own| own.spell.holder.boot != boot);
            ended.extend(
                earlier.map(|(_, own)| own.ended(Some(line.at()), Outcome::Unnoted, REBOOTED)),
            );
        }
        for (address, kind) in &holder.addresses {
            let place = (holder.network_id.clone(), *address);
            let before = open.remove(&place);
            match line {
                Line::Began(began) => {
                    let spell = match before {
                        // The store was lost while it held the address.
                        Some(own) if began.adopted && own.is_of(holder) => own.spell,
                        before => {
                            ended.extend(before.map(|own| {
                                own.ended(Some(began.at), Outcome::Unnoted, SUPERSEDED)
                            }));
                            Spell::begun(holder, *address, *kind, began.at)
                        }
                    };
                    let own = Open {
                        spell,
                        since: began.at,
                        line: number,
                    };
                    open.insert(place, own);
                }
                Line::Ended(end) => {
                    let own = match before {
                        Some(own) if own.is_of(holder) && own.since == end.since => own.spell,
                        before => {
                            ended.extend(before.map(|own| {
                                own.ended(Some(end.since), Outcome::Unnoted, SUPERSEDED)
                            }));
                            Spell::begun(holder, *address, *kind, end.since)
                        }
                    };
                    ended.push(Spell {
                        until: Some(end.at),
                        outcome: Outcome::Ended(end.end),
                        reason: end.reason.clone(),
                        ..own
                    });
                }
                Line::Failed(_) | Line::Tally(_) => {}
            }
        }
    }
    (ended, open)
}

impl Open {
    fn is_of(&self, holder: &Holder) -> bool {
        let own = &self.spell.holder;
        own.boot == holder.boot
            && own.container_id == holder.container_id
            && own.interface == holder.interface
    }

    fn ended(self, until: Option<u64>, outcome: Outcome, reason: &str) -> Spell {
        Spell {
            until,
            outcome,
            reason: reason.to_owned(),
            ..self.spell
        }
    }
}

impl Spell {
    fn begun(holder: &Holder, address: IpAddr, kind: Kind, from: u64) -> Self {
        Self {
            address,
            kind,
            holder: holder.clone(),
            from,
            until: None,
            outcome: Outcome::Held,
            reason: String::new(),
        }
    }
}
