mod scene;

use berth::sight::{Link, Peer};

use super::*;
use crate::ipam::sample::address;
use scene::*;

#[test]
fn whoever_has_the_address_is_live_whatever_podman_says() {
    let live = "live: process 7 (sleep) has the address";
    for container in [Some("own"), Some("stranger"), None] {
        Scene::new().holder(ADDRESS, process(), container).is(live);
    }
    Scene::new()
        .known("exited", "")
        .holder(ADDRESS, process(), None)
        .is(live);
    Scene::new()
        .doubt()
        .holder(ADDRESS, process(), None)
        .is(live);
    Scene::new()
        .word(Word::None("silence".to_owned()))
        .holder(ADDRESS, process(), None)
        .is(live);
    Scene::new()
        .holder(ADDRESS, Inhabitant::Host, None)
        .is("live: this host itself");
}

#[test]
fn the_bridge_of_a_network_does_not_keep_a_lease_of_its_gateway_alive() {
    let scene = Scene::new().with(|scene| scene.gateway = true);
    scene.holder(ADDRESS, Inhabitant::Host, None).is("dead: ");
}

#[test]
fn whoever_is_at_work_for_a_container_keeps_it_alive() {
    let at_work = "live: process 9";
    Scene::new()
        .runs("conmon", &["/usr/bin/conmon", "-c", "own"])
        .is(at_work);
    Scene::new()
        .runs("podman", &["podman", "container", "cleanup", "own"])
        .is(at_work);
    Scene::new().runs("vim", &["vim", "own"]).is("dead: ");
    Scene::new()
        .runs("conmon", &["/usr/bin/conmon", "-c", "another"])
        .is("dead: ");
}

#[test]
fn podmans_word_is_taken_for_life_and_never_alone_for_death() {
    for status in ["running", "paused", "stopping", "initialized"] {
        Scene::new().known(status, "").is("live: Podman says");
    }
    for status in ["created", "exited", "stopped", "removing"] {
        Scene::new().known(status, "").is("dead: Podman says it is");
        Scene::new().known(status, "/run/netns/n").is("pending: ");
        Scene::new()
            .known(status, "")
            .doubt()
            .is("unknown: a doubt");
    }
    Scene::new().known("a new state", "").is("unknown: ");
    Scene::new().is("dead: no container of this id");
    Scene::new().doubt().is("unknown: a doubt");
}

#[test]
fn without_an_answer_nothing_is_dead_unless_the_user_waives_it() {
    let silence = || Word::None("it is stuck".to_owned());
    Scene::new()
        .word(silence())
        .is("unknown: Podman gave no answer: it is stuck");
    Scene::new().word(Word::Waived).is("dead: nobody has");
    Scene::new()
        .word(Word::Waived)
        .doubt()
        .is("unknown: a doubt");
    let elsewhere = |scene: &mut Scene| {
        scene.evidence.kernel.elsewhere = Some("out of sight".to_owned());
    };
    Scene::new()
        .word(Word::Waived)
        .with(elsewhere)
        .is("unknown: out of sight");
    // Podman would know of those.
    Scene::new().with(elsewhere).is("dead: ");
}

#[test]
fn what_was_leased_while_podman_was_asked_is_not_judged_by_its_answer() {
    let forget = |scene: &mut Scene| scene.evidence.asked_about.clear();
    Scene::new().with(forget).is("unknown: it was leased while");
}

#[test]
fn a_namespace_without_a_process_is_one_on_its_way_while_somebody_may_start_it() {
    // Podman was asked before it was there.
    let early = |scene: &mut Scene| scene.evidence.asked = None;
    let ghost = |seconds| {
        let ghost = Scene::new().holder(ADDRESS, nobody(seconds), None);
        ghost.with(early)
    };
    let service = ["podman", "system", "service"];
    ghost(1).is("dead: ");
    ghost(1).runs("podman", &service).is("unknown: /run/netns");
    ghost(60)
        .runs("podman", &service)
        .ends("this clears when that process ends, or in 4m 1s");
    ghost(1)
        .runs("buildah", &["buildah", "bud"])
        .is("unknown: ");
    ghost(301).runs("podman", &service).is("dead: ");
    let timeless = Inhabitant::Nobody { since: None };
    Scene::new()
        .holder(ADDRESS, timeless, None)
        .runs("podman", &service)
        .is("unknown: ");
    // The podman that keeps a user namespace, the one above ourselves, one that only reads,
    // and one that was not running yet.
    ghost(1).runs("podman", &["podman"]).is("dead: ");
    let unshare = ["podman", "unshare", "--rootless-netns", "berth-migrate"];
    ghost(1).runs("podman", &unshare).is("dead: ");
    ghost(1).runs("podman", &["podman", "events"]).is("dead: ");
    ghost(60)
        .runs("podman", &service)
        .with(|scene| scene.evidence.kernel.processes[0].process.start_time = 95_000)
        .is("dead: ");
    ghost(1)
        .known("exited", "/run/netns/netns-1")
        .is("pending: ");
}

/// Podman's answer waits for any podman that starts a container.
#[test]
fn nobody_starts_what_was_there_before_podman_said_that_it_does_not_run() {
    let ghost = || Scene::new().holder(ADDRESS, nobody(1), None);
    let service = ["podman", "system", "service"];
    ghost().runs("podman", &service).is("dead: no container");
    ghost()
        .known("exited", "")
        .runs("podman", &service)
        .is("dead: Podman says it is exited");
    // That podman may use another storage, with containers that Podman does not know.
    let other = ["podman", "--root=/other", "system", "service"];
    ghost().runs("podman", &other).is("unknown: ");
    ghost()
        .word(Word::Waived)
        .runs("podman", &service)
        .is("unknown: ");
}

#[test]
fn of_two_who_claim_an_address_the_kernel_shows_whose_it_is() {
    let contested = || Scene::new().rival();
    contested()
        .holder(ADDRESS, process(), Some("other"))
        .is("dead: container other has the address");
    contested()
        .runs("conmon", &["conmon", "own"])
        .holder(ADDRESS, process(), Some("other"))
        .is("dead: container other has the address");
    contested()
        .holder(ADDRESS, process(), Some("own"))
        .is("live: ");
    contested().holder(ADDRESS, process(), None).is("live: ");
    contested()
        .holder(ADDRESS, process(), Some("other"))
        .holder(ADDRESS, process(), Some("own"))
        .is("live: ");
    contested()
        .holder(ADDRESS, nobody(900), Some("other"))
        .is("dead: no container");
}

#[test]
fn a_lease_that_a_second_setup_has_orphaned_is_dead_though_its_container_lives() {
    let orphaned = || {
        let runs = Scene::new().runs("conmon", &["conmon", "own"]);
        runs.with(|scene| {
            scene.claim.listed = false;
            scene.others = vec![address(OTHER)];
        })
    };
    let own = Some("own");
    orphaned()
        .holder(OTHER, process(), own)
        .is("dead: its container has 10.1.0.6 instead");
    // Any of these may mean that the address is in use.
    orphaned().is("live: ");
    orphaned().holder(OTHER, process(), None).is("live: ");
    orphaned().holder(OTHER, nobody(900), own).is("live: ");
    orphaned()
        .doubt()
        .holder(OTHER, process(), own)
        .is("live: ");
    orphaned()
        .holder(ADDRESS, nobody(900), None)
        .holder(OTHER, process(), own)
        .is("live: ");
    orphaned()
        .with(|scene| scene.claim.listed = true)
        .holder(OTHER, process(), own)
        .is("live: ");
}

fn link(index: u32, name: &str, master: Option<u32>, peer: Option<Peer>) -> Link {
    Link {
        index,
        name: name.to_owned(),
        kind: "veth".to_owned(),
        master,
        peer,
        ..Link::default()
    }
}

/// Host interfaces: bridge 3, with ports 10 and 11, and bridge 4, with port 12.
fn on_a_bridge(peer: Option<Peer>) -> Scene {
    let network = r#"{"name": "net", "id": "n", "driver": "bridge", "network_interface": "br3"}"#;
    Scene::new()
        .with(|scene| scene.network = serde_json::from_str(network).ok())
        .holder(ADDRESS, process(), None)
        .with(|scene| {
            let kernel = &mut scene.evidence.kernel;
            for holder in kernel.holders.values_mut().flatten() {
                holder.link = link(2, "eth0", None, peer);
            }
            kernel.host = vec![link(3, "br3", None, None), link(4, "br4", None, None)];
            let ports = [(10, 3), (11, 3), (12, 4)];
            let port = |(index, master)| link(index, "veth", Some(master), None);
            kernel.host.extend(ports.map(port));
        })
}

#[test]
fn an_address_counts_only_on_the_networks_own_bridge() {
    on_a_bridge(Some(Peer::Host(10))).is("live: process 7 (sleep) has the address");
    for elsewhere in [Some(Peer::Host(12)), Some(Peer::Here(9)), None] {
        on_a_bridge(elsewhere).is("dead");
    }
    // If a network is not known, any bridge may be its own.
    let unknown = |peer| on_a_bridge(peer).with(|scene| scene.network = None);
    unknown(Some(Peer::Host(12))).is("live");
    unknown(None).is("dead");
}

#[test]
fn a_hidden_namespace_is_a_doubt_about_its_own_bridge() {
    let hidden = |master| {
        let outer = link(12, "veth9", master, Some(Peer::Elsewhere(0, 2)));
        on_a_bridge(None).with(|scene| scene.evidence.kernel.hidden.push(outer))
    };
    let doubt = "unknown: the other end of veth9 is in a network namespace";
    hidden(Some(3)).is(doubt);
    hidden(None).is(doubt);
    hidden(Some(4)).is("dead");
    hidden(Some(4)).with(|scene| scene.network = None).is(doubt);
}
