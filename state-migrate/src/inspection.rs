//! What `inspect` shows, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use comfy_table::{ContentArrangement, Table, presets};
use ipnetwork::IpNetwork;
use serde::Serialize;

use crate::evidence::Word;
use crate::flaw::{Explanation, Flaw, flaws};
use crate::ipam::content::Cursor;
use crate::judgement::{Judgement, subnet_of};
use crate::look::{Lease, Look};
use berth::rules::lease::short_id;

/// Everything that one look at a file shows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Inspection {
    pub(crate) file: PathBuf,
    /// Why Podman's answer is missing, if it is.
    pub(crate) podman: Option<String>,
    /// What the kernel did not show, if anything.
    pub(crate) doubt: Option<String>,
    /// All leases, sorted by network and address.
    pub(crate) leases: Vec<LeaseRow>,
    pub(crate) subnets: Vec<SubnetRow>,
    #[serde(rename = "findings")]
    pub(crate) flaws: Vec<FlawRow>,
    /// What had to be skipped in a damaged file.
    pub(crate) skipped: Vec<String>,
}

/// One lease.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LeaseRow {
    #[serde(flatten)]
    pub(crate) lease: Lease,
    pub(crate) subnet: Option<IpNetwork>,
    /// `live`, `dead`, `pending` or `unknown`.
    pub(crate) verdict: &'static str,
    /// Whether the subnet's bucket has it.
    pub(crate) leased: bool,
    /// Whether `ids` lists it.
    pub(crate) listed: bool,
}

/// One subnet of a network.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SubnetRow {
    pub(crate) network: String,
    pub(crate) subnet: String,
    /// How many of its addresses are leased.
    pub(crate) leases: usize,
    /// The last address that was leased dynamically.
    pub(crate) cursor: Option<IpAddr>,
}

/// One flaw.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FlawRow {
    #[serde(flatten)]
    pub(crate) explanation: Explanation,
    /// The same for programs.
    pub(crate) detail: Flaw,
}

impl Inspection {
    /// Collects what a look shows of all networks, or of the one with this name or id.
    pub(crate) fn new(file: PathBuf, look: &Look, only: Option<&str>) -> Self {
        let wanted = |name: &str| {
            let network = look.networks.all.get(name);
            only.is_none_or(|only| {
                only == name || network.is_some_and(|network| network.answers_to(only))
            })
        };
        let of_network = |judgement: &&Judgement| wanted(&judgement.claim.key.network);
        let judgements = look.judgements.values().filter(of_network);
        let networks = look
            .content
            .networks
            .iter()
            .filter(|(name, _)| wanted(name));
        let subnets = networks.flat_map(|(name, record)| {
            record.subnets.iter().map(|subnet| SubnetRow {
                network: name.clone(),
                subnet: subnet.key.clone(),
                leases: subnet.slots.len(),
                cursor: match &subnet.cursor {
                    Some(Cursor::At(address)) => Some(*address),
                    Some(Cursor::Malformed(_)) | None => None,
                },
            })
        });
        let word = &look.evidence.word;
        let mut flaws = flaws(&look.content, &look.networks, word);
        flaws.extend(look.unleased.iter().cloned());
        let flaws = flaws
            .into_iter()
            .filter(|flaw| flaw.network().is_none_or(wanted));
        Self {
            file,
            podman: match word {
                Word::None(reason) => Some(reason.clone()),
                Word::Waived => Some("it was not asked".to_owned()),
                Word::Given(_) => None,
            },
            doubt: look.evidence.kernel.doubt_about(None),
            leases: judgements.map(|judgement| row(judgement, look)).collect(),
            subnets: subnets.collect(),
            flaws: flaws
                .map(|detail| FlawRow {
                    explanation: detail.explain(),
                    detail,
                })
                .collect(),
            skipped: look.skipped.iter().map(ToString::to_string).collect(),
        }
    }

    /// Returns whether all leases are live and nothing is wrong.
    pub(crate) fn is_clean(&self) -> bool {
        let mut leases = self.leases.iter();
        self.flaws.is_empty()
            && self.skipped.is_empty()
            && leases.all(|lease| lease.verdict == "live")
    }
}

fn row(judgement: &Judgement, look: &Look) -> LeaseRow {
    let Judgement { claim, verdict } = judgement;
    LeaseRow {
        lease: look.lease(judgement),
        subnet: subnet_of(&look.content, &look.networks, &claim.key),
        verdict: verdict.word(),
        leased: claim.leased || claim.mapped,
        listed: claim.listed,
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.leases.is_empty() {
            writeln!(f, "{}", self.lease_table())?;
        }
        if !self.subnets.is_empty() {
            let mut subnets = table(["NETWORK", "SUBNET", "LEASES", "LAST DYNAMIC"]);
            for row in &self.subnets {
                let cursor = row.cursor.map(|address| address.to_string());
                subnets.add_row([
                    row.network.clone(),
                    row.subnet.clone(),
                    row.leases.to_string(),
                    cursor.unwrap_or_default(),
                ]);
            }
            writeln!(f, "\n{subnets}")?;
        }
        if !self.flaws.is_empty() {
            writeln!(f)?;
        }
        for FlawRow { explanation, .. } in &self.flaws {
            let Explanation {
                what,
                cause,
                remedy,
            } = explanation;
            let remedy = remedy.text();
            writeln!(
                f,
                "{what}
  cause:  {cause}
  repair: {remedy}"
            )?;
        }
        for skipped in &self.skipped {
            writeln!(f, "skipped {skipped}")?;
        }
        if let Some(doubt) = &self.doubt {
            writeln!(f, "berth cannot see everything: {doubt}")?;
        }
        if let Some(reason) = &self.podman {
            writeln!(f, "without an answer from Podman: {reason}")?;
        }
        self.summary(f)
    }
}

impl Inspection {
    fn lease_table(&self) -> Table {
        let mut leases = table(["NETWORK", "ADDRESS", "CONTAINER", "NAME", "VERDICT", "WHY"]);
        for LeaseRow { lease, verdict, .. } in &self.leases {
            leases.add_row([
                lease.network.as_str(),
                &lease.address.to_string(),
                short_id(&lease.container),
                lease.name.as_deref().unwrap_or_default(),
                verdict,
                &lease.why,
            ]);
        }
        leases
    }

    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &self.leases {
            *counts.entry(row.verdict).or_default() += 1;
        }
        let of = |word: &str| counts.get(word).copied().unwrap_or_default();
        write!(f, "{}: {} leases", self.file.display(), self.leases.len())?;
        for word in ["live", "dead", "pending", "unknown"] {
            if of(word) > 0 {
                write!(f, ", {} {word}", of(word))?;
            }
        }
        match self.flaws.len() {
            0 => write!(f, "; nothing is wrong with the file"),
            1 => write!(f, "; 1 finding"),
            several => write!(f, "; {several} findings"),
        }
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    table
}
