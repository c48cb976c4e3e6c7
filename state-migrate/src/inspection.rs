//! What `inspect` shows, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::evidence::Word;
use crate::finding::{Finding, Remedy, findings};
use crate::ipam::content::Cursor;
use crate::judgement::{Judgement, subnet_of};
use crate::look::Look;
use crate::verdict::{Verdict, short};

/// Everything that one look at a file tells.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The file.
    pub file: PathBuf,
    /// Why Podman's word is missing, if it is.
    pub podman: Option<String>,
    /// What the kernel did not show, if anything.
    pub doubt: Option<String>,
    /// All leases, sorted by network and address.
    pub leases: Vec<LeaseRow>,
    /// The networks and subnets.
    pub subnets: Vec<SubnetRow>,
    /// What is wrong.
    pub findings: Vec<FindingRow>,
    /// What a damaged file was read without.
    pub skipped: Vec<String>,
}

/// One lease.
#[derive(Clone, Debug, Serialize)]
pub struct LeaseRow {
    /// The network's name.
    pub network: String,
    /// The subnet that the address is in.
    pub subnet: Option<String>,
    /// The address.
    pub address: IpAddr,
    /// The container's id.
    pub container: String,
    /// Its name, if Podman knows it.
    pub name: Option<String>,
    /// `live`, `dead`, `pending` or `unknown`.
    pub verdict: &'static str,
    /// Why.
    pub why: String,
    /// Whether the subnet's bucket has it.
    pub leased: bool,
    /// Whether `ids` lists it.
    pub listed: bool,
}

/// One subnet of a network.
#[derive(Clone, Debug, Serialize)]
pub struct SubnetRow {
    /// The network's name.
    pub network: String,
    /// The subnet.
    pub subnet: String,
    /// How many of its addresses are leased.
    pub leases: usize,
    /// The last address that was leased dynamically.
    pub cursor: Option<IpAddr>,
}

/// One finding.
#[derive(Clone, Debug, Serialize)]
pub struct FindingRow {
    /// It, for people.
    pub what: String,
    /// How it comes about.
    pub cause: &'static str,
    /// What to do.
    pub remedy: Remedy,
    /// It, for programs.
    pub detail: Finding,
}

impl Inspection {
    /// Puts together what a look tells, of all networks or only one, by name or id.
    pub fn new(file: PathBuf, look: &Look, only: Option<&str>) -> Self {
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
        let findings = findings(&look.content, &look.networks, word);
        let findings = findings
            .into_iter()
            .filter(|finding| finding.network().is_none_or(wanted));
        Self {
            file,
            podman: match word {
                Word::None(reason) => Some(reason.clone()),
                Word::Waived => Some("it was not asked".to_owned()),
                Word::Given(_) => None,
            },
            doubt: look.evidence.kernel.doubt.clone(),
            leases: judgements.map(|judgement| row(judgement, look)).collect(),
            subnets: subnets.collect(),
            findings: findings.map(FindingRow::from).collect(),
            skipped: look.skipped.iter().map(ToString::to_string).collect(),
        }
    }

    /// Returns whether all leases are live and nothing is wrong.
    pub fn is_clean(&self) -> bool {
        let mut leases = self.leases.iter();
        self.findings.is_empty()
            && self.skipped.is_empty()
            && leases.all(|lease| lease.verdict == "live")
    }
}

fn row(judgement: &Judgement, look: &Look) -> LeaseRow {
    let key = &judgement.claim.key;
    let subnet = subnet_of(&look.content, &look.networks, key);
    let known = look.evidence.word.of(&key.container);
    let why = match &judgement.verdict {
        verdict @ Verdict::Pending { .. } => format!("{verdict} {}", key.container),
        verdict => verdict.to_string(),
    };
    LeaseRow {
        network: key.network.clone(),
        subnet: subnet.map(|subnet| subnet.to_string()),
        address: key.address,
        container: key.container.clone(),
        name: known.map(|known| known.name.clone()),
        verdict: judgement.verdict.word(),
        why,
        leased: judgement.claim.leased || judgement.claim.mapped,
        listed: judgement.claim.listed,
    }
}

impl From<Finding> for FindingRow {
    fn from(finding: Finding) -> Self {
        Self {
            what: finding.to_string(),
            cause: finding.cause(),
            remedy: finding.remedy(),
            detail: finding,
        }
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
        if !self.findings.is_empty() {
            writeln!(f)?;
        }
        for row in &self.findings {
            writeln!(
                f,
                "{}\n  cause:  {}\n  repair: {}",
                row.what, row.cause, row.remedy
            )?;
        }
        for skipped in &self.skipped {
            writeln!(f, "skipped {skipped}")?;
        }
        if let Some(doubt) = &self.doubt {
            writeln!(f, "not everything can be seen: {doubt}")?;
        }
        if let Some(reason) = &self.podman {
            writeln!(f, "without Podman's word: {reason}")?;
        }
        self.summary(f)
    }
}

impl Inspection {
    fn lease_table(&self) -> Table {
        let mut leases = table(["NETWORK", "ADDRESS", "CONTAINER", "NAME", "VERDICT", "WHY"]);
        for row in &self.leases {
            leases.add_row([
                row.network.as_str(),
                &row.address.to_string(),
                short(&row.container),
                row.name.as_deref().unwrap_or_default(),
                row.verdict,
                &row.why,
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
        match self.findings.len() {
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
