//! Counts what is asked and heard on a link. No I/O.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use berth_share::evict::Probed;

/// How many addresses are asked in one batch. If there were more, some would be lost on the
/// way.
pub(super) const BATCH: usize = 256;

/// How many of the addresses known to be in use are asked with each batch.
const WITNESSES: usize = 64;

/// A place of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Spot {
    Parent,
    Sibling,
}

/// What has been asked and heard.
#[derive(Debug)]
pub(super) struct Tally {
    /// Each address once, in the order in which they were given.
    asked: Vec<IpAddr>,
    wanted: HashSet<IpAddr>,
    times: HashMap<(IpAddr, Spot), u32>,
    answered: HashSet<IpAddr>,
    /// The addresses that are known to be in use.
    known: Vec<IpAddr>,
    /// The places and batches in which a known address has answered, and whether it was an
    /// IPv4 address.
    proven: HashSet<(Spot, usize, bool)>,
}

impl Tally {
    /// Begins with nothing asked. `own` are this host's addresses: an answer from one of them
    /// proves nothing about the link, and if one is asked for, it counts as found.
    pub(super) fn new(asked: &[IpAddr], known: &[IpAddr], own: &HashSet<IpAddr>) -> Self {
        let mut wanted = HashSet::new();
        let asked = asked.iter().filter(|address| wanted.insert(**address));
        let asked: Vec<_> = asked.copied().collect();
        let is_other = |address: &&IpAddr| !own.contains(address) && !wanted.contains(address);
        Self {
            known: known.iter().filter(is_other).copied().collect(),
            answered: wanted.intersection(own).copied().collect(),
            asked,
            wanted,
            times: HashMap::new(),
            proven: HashSet::new(),
        }
    }

    /// Returns how many batches there are.
    pub(super) fn batches(&self) -> usize {
        self.asked.len().div_ceil(BATCH)
    }

    /// Returns the addresses of a batch, and the known ones that are asked with it.
    ///
    /// The known ones come last: whatever loses some of the questions loses these first.
    pub(super) fn batch(&self, batch: usize) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let asked: Vec<_> = self
            .asked
            .iter()
            .skip(batch * BATCH)
            .take(BATCH)
            .copied()
            .collect();
        let of_family = |is_ipv4: bool| {
            let known = self
                .known
                .iter()
                .filter(move |one| one.is_ipv4() == is_ipv4);
            let is_asked = asked.iter().any(|one| one.is_ipv4() == is_ipv4);
            known.take(if is_asked { WITNESSES } else { 0 }).copied()
        };
        let known = of_family(true).chain(of_family(false)).collect();
        (asked, known)
    }

    /// Notes that an address was asked once more from a place.
    pub(super) fn note_question(&mut self, address: IpAddr, spot: Spot) {
        *self.times.entry((address, spot)).or_default() += 1;
    }

    /// Notes that a host claims an address.
    pub(super) fn note_claim(&mut self, address: IpAddr) {
        if self.wanted.contains(&address) {
            self.answered.insert(address);
        }
    }

    /// Notes that an address has answered a question that a place asked during a batch.
    pub(super) fn note_answer(&mut self, address: IpAddr, (spot, batch): (Spot, usize)) {
        if self.known.contains(&address) {
            self.proven.insert((spot, batch, address.is_ipv4()));
        }
    }

    /// Returns whether silence proves something: a known address has answered in each of these
    /// places, with each batch, for each family in it.
    pub(super) fn is_proven(&self, spots: &[Spot]) -> bool {
        let mut asked = self.asked.iter().enumerate();
        let is_heard = |place: usize, address: &IpAddr| {
            let needed = |spot: &Spot| (*spot, place / BATCH, address.is_ipv4());
            spots.iter().all(|spot| self.proven.contains(&needed(spot)))
        };
        !spots.is_empty() && asked.all(|(place, address)| is_heard(place, address))
    }

    /// Returns what was found for each address. How often it was asked is the count of the
    /// place, of these, that asked least.
    pub(super) fn results(&self, spots: &[Spot]) -> Vec<Probed> {
        let times = |address: IpAddr| {
            let of_spot = |spot: &Spot| self.times.get(&(address, *spot)).copied();
            let times = spots.iter().map(|spot| of_spot(spot).unwrap_or(0));
            times.min().unwrap_or(0)
        };
        let of_one = |address: &IpAddr| Probed {
            address: *address,
            probes: times(*address),
            answered: self.answered.contains(address),
        };
        self.asked.iter().map(of_one).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BOTH: [Spot; 2] = [Spot::Parent, Spot::Sibling];

    fn four(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn six(last: u16) -> IpAddr {
        IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last])
    }

    #[test]
    fn silence_is_proven_in_each_place_batch_and_family() {
        let many: Vec<_> = (0..300).map(six).chain([four(9)]).collect();
        let known = [four(1), six(1000)];
        let proofs = [
            (six(1000), (Spot::Parent, 0)),
            (six(1000), (Spot::Sibling, 0)),
            (six(1000), (Spot::Parent, 1)),
            (six(1000), (Spot::Sibling, 1)),
            (four(1), (Spot::Parent, 1)),
            (four(1), (Spot::Sibling, 1)),
        ];
        for missing in 0..=proofs.len() {
            let mut tally = Tally::new(&many, &known, &HashSet::new());
            for (at, (address, of)) in proofs.into_iter().enumerate() {
                if at != missing {
                    tally.note_answer(address, of);
                }
            }
            assert_eq!(tally.is_proven(&BOTH), missing == proofs.len(), "{missing}");
            assert!(!tally.is_proven(&[]));
        }
    }

    #[test]
    fn a_batch_takes_the_known_of_its_families_with_it() {
        let many: Vec<_> = (0..300).map(six).chain([four(9)]).collect();
        let known: Vec<_> = (1..=200).map(four).chain([six(1000)]).collect();
        let tally = Tally::new(&many, &known, &HashSet::new());
        assert_eq!(tally.batches(), 2);
        assert_eq!(tally.batch(0), (many[..256].to_vec(), vec![six(1000)]));
        let (asked, known) = tally.batch(1);
        assert_eq!((asked.len(), known.len()), (45, WITNESSES + 1));
    }

    #[test]
    fn what_the_host_has_itself_is_found_and_proves_nothing() {
        let own = HashSet::from([four(1), four(9)]);
        let mut tally = Tally::new(&[four(9), four(8), four(9)], &[four(1), four(8)], &own);
        for known in [four(1), four(8)] {
            tally.note_answer(known, (Spot::Parent, 0));
        }
        tally.note_claim(four(7));
        assert!(!tally.is_proven(&[Spot::Parent]));
        let results = tally.results(&BOTH);
        let results: Vec<_> = results
            .iter()
            .map(|one| (one.address, one.answered))
            .collect();
        assert_eq!(results, [(four(9), true), (four(8), false)]);
    }

    #[test]
    fn the_place_that_has_probed_least_counts() {
        let mut tally = Tally::new(&[four(9)], &[], &HashSet::new());
        let probes = |tally: &Tally, spots: &[Spot]| tally.results(spots)[0].probes;
        for spot in [Spot::Parent, Spot::Parent, Spot::Sibling] {
            tally.note_question(four(9), spot);
        }
        assert_eq!(probes(&tally, &[Spot::Parent]), 2);
        assert_eq!(probes(&tally, &BOTH), 1);
        assert_eq!(probes(&tally, &[]), 0);
    }
}
