//! berth.conf: what berth cannot understand in it, and what it sets for a network that
//! does not exist.

use super::finding::Finding;
use crate::podman::NetworkFile;
use crate::rules::settings::{Mistake, Settings};

const CHECK: &str = "berth-conf";

/// Judges the settings against the networks that exist.
pub(super) fn judge(settings: &Settings, files: &[NetworkFile]) -> Vec<Finding> {
    let mut found: Vec<_> = settings.mistakes.iter().map(finding).collect();
    let networks = files.iter().filter_map(|file| file.network.as_ref().ok());
    let mut names = Vec::new();
    for network in networks {
        names.push(network.name.as_str());
        let applied = settings.apply(&mut network.clone());
        if let Err(mistake) = applied
            && network.is_ours()
            && !settings.mistakes.contains(&mistake)
        {
            found.push(finding(&mistake));
        }
    }
    let set = settings.networks.keys();
    let unknown = set.filter(|name| !names.contains(&name.as_str()));
    found.extend(unknown.map(|name| {
        Finding::note(CHECK, format!("there is no network {name}"))
            .because(format!("berth.conf has a section [network.{name}]"))
            .repair(
                "nothing, if you are about to create it; otherwise check the spelling of its name",
            )
    }));
    found
}

fn finding(mistake: &Mistake) -> Finding {
    Finding::problem(CHECK, mistake.to_string())
        .because(mistake.concern.to_string())
        .repair("correct it; `berth config` shows the values in force, and where each comes from")
}
