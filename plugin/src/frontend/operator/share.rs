//! `berth share`: pools that several hosts lease from.

mod listings;

use berth_share::ShareName;
use berth_share::operator::Rejoin;
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;

use super::table::wants_colour;
use super::{Failure, Place};
use crate::frontend::{complain, completion, print, print_coloured};
use crate::podman::Podman;
use crate::sharing;
use crate::upkeep::share::{self, ShareState};
use listings::{HostListing, ShareListing};

/// Arguments of `berth share`.
#[derive(Debug, Args)]
pub struct Share {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say how each share is; exit code 1 if something is wrong with one
    Status(Status),
    /// List the hosts of a share, and how many addresses each has claimed
    Hosts(Hosts),
    /// Take part in a share again, after this host was refused or evicted
    ///
    /// As a new host, unless --original is given. Its containers keep running, and the next
    /// collection claims the addresses that they have and nobody else has claimed. Changes
    /// nothing if this host takes part already.
    Rejoin(Again),
    /// Let hosts claim again after etcd was restored from a backup
    ///
    /// Refuses until every host has put its leases back, by a collection of its own, or is
    /// named with --without.
    Accept(Accept),
    /// Free the addresses of a host that is gone for good
    ///
    /// Refuses while the host may still be there: it has been heard from within its lease in
    /// etcd, something answers at one of its addresses, or nothing answers on the link at
    /// all, so that silence proves nothing. Takes some ten seconds.
    Evict(Evict),
}

/// Which share is meant, and how the answer is printed.
#[derive(Debug, Args)]
struct Which {
    /// The share; needed if berth.conf describes several
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(completion::shares))]
    share: Option<ShareName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

const STATUS: &str = "\
States:
  open         hosts may claim addresses
  unused       no host has joined it yet; one joins when its first container starts
  suspended    etcd was restored from a backup: see `berth share accept`
  evicted      this host was evicted: see `berth share rejoin`
  refused      another host has this host's identity, or it was made for another machine: see
               `berth share rejoin`
  unreachable  etcd does not answer, or this host cannot use it";

/// Arguments of `berth share status`.
#[derive(Debug, Args)]
#[command(after_help = STATUS)]
struct Status {
    /// Only this share
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(completion::shares))]
    share: Option<ShareName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

const HOSTS: &str = "\
States:
  live        it has been heard from within its lease in etcd (1 h by default)
  silent      it has not; it keeps its addresses
  behind      it has not put its leases back since etcd was restored from a backup
  evicted     its addresses were given to others; it claims nothing until it joins again
  unrecorded  it has addresses and no record, as after a restore

OWN has an asterisk for this host.";

/// Arguments of `berth share hosts`.
#[derive(Debug, Args)]
#[command(after_help = HOSTS)]
struct Hosts {
    /// Print whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Print no headings
    #[arg(long, short)]
    noheading: bool,
    #[command(flatten)]
    which: Which,
}

/// Arguments of `berth share rejoin`.
#[derive(Debug, Args)]
struct Again {
    /// Rejoin under the old identity; a copy of this host that uses it is refused from now on
    #[arg(long)]
    original: bool,
    #[command(flatten)]
    which: Which,
}

/// Arguments of `berth share accept`.
#[derive(Debug, Args)]
struct Accept {
    /// Do not wait for this host, which is gone for good
    ///
    /// Make sure that it is: what it has and the backup lacks may be given to others.
    #[arg(long, value_name = "HOST", num_args = 1.., add = ArgValueCandidates::new(completion::hosts))]
    without: Vec<String>,
    #[command(flatten)]
    which: Which,
}

/// Arguments of `berth share evict`.
#[derive(Debug, Args)]
struct Evict {
    /// The host: its name, its id or the beginning of that
    #[arg(add = ArgValueCandidates::new(completion::hosts))]
    host: String,
    /// Ask only the link of this network
    ///
    /// By default the links of all networks of this host that are in the share.
    #[arg(long, value_name = "NETWORK", add = ArgValueCandidates::new(completion::networks))]
    network: Option<String>,
    #[command(flatten)]
    which: Which,
}

/// Runs one of these commands.
///
/// # Errors
/// If the share is not configured or etcd does not answer; whatever error the command
/// returns.
pub(super) fn run(share: &Share) -> Result<(), Failure> {
    match &share.verb {
        Verb::Status(status) => self::status(status),
        Verb::Hosts(hosts) => self::hosts(hosts),
        Verb::Rejoin(Again { original, which }) => {
            let (podman, share) = which.find()?;
            let how = if *original {
                Rejoin::Original
            } else {
                Rejoin::Anew
            };
            Ok(print(&share::rejoin(&podman, &share, how)?, which.json)?)
        }
        Verb::Accept(Accept { without, which }) => {
            let (podman, share) = which.find()?;
            let without: Vec<_> = without.iter().map(String::as_str).collect();
            Ok(print(
                &share::accept(&podman, &share, &without)?,
                which.json,
            )?)
        }
        Verb::Evict(Evict {
            host,
            network,
            which,
        }) => {
            let (podman, share) = which.find()?;
            let done = share::evict(&podman, &share, host, network.as_deref())?;
            Ok(print(&done, which.json)?)
        }
    }
}

impl Which {
    /// Returns the Podman and the share that are meant.
    fn find(&self) -> Result<(Podman, ShareName), Failure> {
        let podman = self.place.podman()?;
        let share = chosen(self.share.as_ref(), sharing::configured(&podman))?;
        Ok((podman, share))
    }
}

/// Returns the share that is meant: the one that is named, or else the only one.
fn chosen(named: Option<&ShareName>, configured: Vec<ShareName>) -> Result<ShareName, Failure> {
    match (named, &configured[..]) {
        (Some(named), _) => Ok(named.clone()),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(Failure::NoShare),
        (None, several) => {
            let names: Vec<_> = several.iter().map(ShareName::as_str).collect();
            Err(Failure::Usage(format!(
                "berth.conf describes several shares: {}; say which one with --share",
                names.join(", ")
            )))
        }
    }
}

fn status(status: &Status) -> Result<(), Failure> {
    let podman = status.place.podman()?;
    let shares = match &status.share {
        Some(share) => vec![share.clone()],
        None => sharing::configured(&podman),
    };
    if shares.is_empty() {
        return Err(Failure::NoShare);
    }
    let listing = ShareListing {
        shares: shares
            .iter()
            .map(|name| share::view(&podman, name))
            .collect(),
        coloured: wants_colour(),
    };
    print_coloured(&listing, status.json)?;
    let mut is_well = true;
    for share in &listing.shares {
        if let Some(trouble) = &share.trouble {
            is_well = false;
            // The error of a share already names it.
            match share.state {
                ShareState::Unreachable => complain(trouble),
                _ => complain(&format!("share {}: {trouble}", share.share)),
            }
        }
    }
    match is_well {
        true => Ok(()),
        false => Err(Failure::Reported),
    }
}

fn hosts(hosts: &Hosts) -> Result<(), Failure> {
    let (podman, share) = hosts.which.find()?;
    let listing = HostListing {
        hosts: share::hosts(&podman, &share)?,
        headings: !hosts.noheading,
        whole_ids: hosts.no_trunc,
        coloured: wants_colour(),
    };
    if listing.hosts.is_empty() && hosts.noheading && !hosts.which.json {
        return Ok(());
    }
    Ok(print_coloured(&listing, hosts.which.json)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_named_only_where_there_are_several() {
        let name = |name: &str| name.parse::<ShareName>().unwrap();
        let check = |named: Option<&str>, configured: &[&str]| {
            let configured = configured.iter().map(|one| name(one)).collect();
            chosen(named.map(name).as_ref(), configured).map_err(|failure| failure.to_string())
        };
        assert_eq!(check(None, &["lan"]), Ok(name("lan")));
        assert_eq!(check(Some("dmz"), &["lan", "dmz"]), Ok(name("dmz")));
        let several = check(None, &["lan", "dmz"]).unwrap_err();
        assert!(several.contains("several shares: lan, dmz;"), "{several}");
        assert!(check(None, &[]).unwrap_err().starts_with("no share"));
    }
}
