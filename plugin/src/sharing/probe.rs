//! Asks a network's link whether anything has an address, for an eviction: see
//! [`berth_share::evict`].
//!
//! - [`frame`] is what is sent and read on a link.
//! - [`manner`] says from where a network can be asked: the bridge or parent, and a [`sibling`]
//!   there.
//! - [`place`] is such an interface with a socket on it.
//! - [`tally`] counts.
//!
//! Nothing of the host is changed. Whatever a question needs belongs to berth, and vanishes
//! with it.

mod frame;
mod manner;
mod place;
mod sibling;
mod tally;

use std::collections::HashSet;
use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use berth_share::evict::{Evidence, PROBES};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::protocol::Network;
use crate::sight::links;
use frame::Told;
use manner::Manner;
use place::Place;
use sibling::Sibling;
use tally::{Spot, Tally};

/// Pause between two questions: a burst of hundreds would overflow queues on the way.
const PACE: Duration = Duration::from_millis(1);
/// Pause between two rounds, so that whatever makes one fail is over by the next.
const PAUSE: Duration = Duration::from_millis(400);
/// Wait after the last round: a host that has not answered by then counts as silent.
const PATIENCE: Duration = Duration::from_millis(900);

/// How many reads in a row a place gets when berth is done with it, before whatever is still
/// there counts as lost.
const LAST_READS: u32 = 64;

/// What to ask, and on which link.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub network: &'a Network,
    /// The network's bridge, or the parent of its interfaces.
    pub interface: &'a str,
    /// The addresses that another host may have.
    pub addresses: &'a [IpAddr],
    /// Addresses that are in use on this link, the gateway among them; the surest first. Their
    /// answers show that a host on the link would be heard.
    pub known: &'a [IpAddr],
}

/// Asks for each address [`PROBES`] times from each place of the link.
///
/// 256 addresses take less than 6 seconds, and so do each further 256. If a place cannot be
/// asked, the evidence says so, and the log says why. Any host that claims an address counts
/// as having it, however the claim arrives.
pub fn probe(question: &Question<'_>) -> Evidence {
    let host = links().unwrap_or_else(|error| {
        log::warn!("the host's interfaces cannot be listed: {error}");
        Vec::new()
    });
    let own: HashSet<_> = host
        .iter()
        .flat_map(|link| &link.addresses)
        .copied()
        .collect();
    let mut ears = Ears {
        tally: Tally::new(question.addresses, question.known, &own),
        places: Vec::new(),
    };
    if question.addresses.is_empty() {
        return ears.evidence();
    }
    let told = |place: &str, why: &dyn Display| {
        let Question {
            network, interface, ..
        } = question;
        let name = &network.name;
        log::warn!("network {name} cannot be probed from {place} of {interface}: {why}");
    };
    let manner = Manner::of(question.network, question.interface, &host);
    match manner.parent.map(|name| Place::open(&name)) {
        Ok(Ok(place)) => ears.places.push((Spot::Parent, place)),
        Ok(Err(error)) => told("the parent", &error),
        Err(why) => told("the parent", &why),
    }
    let sibling = manner.sibling.map(|(kind, on)| {
        let sibling = Sibling::make(kind, on)?;
        let place = sibling.open()?;
        Ok::<_, io::Error>((sibling, place))
    });
    // The sibling's interface must live until everything has been heard.
    let _sibling = match sibling {
        Ok(Ok((sibling, place))) => {
            ears.places.push((Spot::Sibling, place));
            Some(sibling)
        }
        Ok(Err(error)) => {
            told("a sibling", &error);
            None
        }
        Err(why) => {
            told("a sibling", &why);
            None
        }
    };
    for batch in 0..ears.tally.batches() {
        for spot in ears.spots() {
            ears.ask_from(spot, batch);
        }
    }
    ears.evidence()
}

/// All places at once, because an answer to one may be heard in another: on ipvlan, the parent
/// hears the answers to its children.
struct Ears {
    tally: Tally,
    places: Vec<(Spot, Place)>,
}

impl Ears {
    fn spots(&self) -> Vec<Spot> {
        self.places.iter().map(|(spot, _)| *spot).collect()
    }

    fn ask_from(&mut self, spot: Spot, batch: usize) {
        let turn = (spot, batch);
        let (asked, known) = self.tally.batch(batch);
        for round in 1..=PROBES {
            for address in asked.iter().chain(&known) {
                let place = self.places.iter().find(|place| place.0 == spot);
                let sent = place.map(|(_, place)| place.ask(*address));
                match sent {
                    Some(Ok(())) => self.tally.note_question(*address, spot),
                    Some(Err(error)) => log::debug!("{address} was not asked: {error}"),
                    None => return,
                }
                self.listen(PACE, turn);
            }
            self.listen(if round < PROBES { PAUSE } else { PATIENCE }, turn);
        }
        self.finish(turn);
    }

    /// Reads whatever arrives during `span`.
    fn listen(&mut self, span: Duration, turn: (Spot, usize)) {
        let end = Instant::now() + span;
        loop {
            self.hear(turn);
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let flags = PollFlags::POLLIN;
            let places = self.places.iter();
            let mut waiting: Vec<_> = places
                .map(|(_, place)| PollFd::new(place.as_fd(), flags))
                .collect();
            // A timeout of less than a millisecond would be none.
            let timeout = PollTimeout::try_from(left.max(PACE)).unwrap_or(PollTimeout::MAX);
            match poll(&mut waiting, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => {
                    log::warn!("the link cannot be listened to: {error}");
                    drop(waiting);
                    self.places.clear();
                    return;
                }
            }
        }
    }

    /// Reads what has arrived, and does not go on for ever if more keeps arriving.
    fn finish(&mut self, turn: (Spot, usize)) {
        let mut reads = 0;
        while self.hear(turn) {
            reads += 1;
            if reads > LAST_READS {
                log::warn!("more frames arrive on the link than berth can read");
                self.places.clear();
            }
        }
    }

    /// Reads what has arrived in each place. Returns whether there may be more. A place that
    /// has lost something is given up: it counts as one that was never asked.
    fn hear(&mut self, turn: (Spot, usize)) -> bool {
        let Self { tally, places } = self;
        let mut is_more = false;
        let asking = turn.0;
        let mut answers = Vec::new();
        places.retain_mut(|(spot, place)| {
            let heard = place.hear(|told| {
                tally.note_claim(told.claimed);
                answers.push(told);
            });
            match heard {
                Ok(more) => {
                    is_more |= more;
                    true
                }
                Err(error) => {
                    log::warn!("the link can no longer be heard from {spot:?}: {error}");
                    false
                }
            }
        });
        if let Some((_, place)) = places.iter().find(|place| place.0 == asking) {
            let is_answer = |told: &Told| place.is_answer(*told);
            for told in answers.into_iter().filter(is_answer) {
                tally.note_answer(told.claimed, turn);
            }
        }
        is_more
    }

    fn evidence(&self) -> Evidence {
        let spots = self.spots();
        Evidence {
            link_answers: self.tally.is_proven(&spots),
            from_parent: spots.contains(&Spot::Parent),
            from_sibling: spots.contains(&Spot::Sibling),
            addresses: self.tally.results(&spots),
        }
    }
}
