//! Injures berth as netavark's plugin on a network in a share: what it claims in etcd must match
//! what it leases, whatever is killed in between.

use crate::Lab;
use crate::Outcome;
use crate::etcd::{Cluster, Home};
use crate::syscalls::Point;

use super::plugin::PluginScene;
use super::setting::Setting;
use super::{Scene, Verb};

/// Where the node is in the lab.
const NODE: &str = "127.0.0.1";

/// The plugin's scene, with a node of etcd in the lab.
pub(super) struct SharedScene {
    plugin: PluginScene,
    cluster: Cluster,
    /// The keys of addresses before any injury: the bystander's.
    before: Vec<String>,
}

impl SharedScene {
    #[track_caller]
    pub(super) fn in_lab(lab: Lab) -> Self {
        let cluster = Cluster::start_at(vec![Home::inside(lab.init(), NODE)], &[]);
        let own = cluster.certificates("client");
        for (name, path) in [
            ("ca.pem", own.ca),
            ("client.pem", own.certificate),
            ("client.key", own.key),
        ] {
            let text = std::fs::read_to_string(&path);
            let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            lab.write(&format!("/etc/berth/{name}"), &text);
        }
        // A refused call may look like an etcd that does not answer. The next command must ask etcd
        // all the same.
        lab.write(
            "/etc/containers/berth.conf.d/share.conf",
            &format!(
                "[share.lan]\nendpoints = [\"https://{NODE}:2379\"]\nca = \"/etc/berth/ca.pem\"\n\
                 certificate = \"/etc/berth/client.pem\"\nkey = \"/etc/berth/client.key\"\n\
                 breaker = 0\n[network.n]\nipam_share = \"lan\"\nipam_order = \"next\"\n"
            ),
        );
        let mut scene = Self {
            plugin: PluginScene::in_lab(lab),
            cluster,
            before: Vec::new(),
        };
        scene.before = scene.keys();
        assert_eq!(scene.before.len(), 1, "{:?}", scene.before);
        scene
    }

    /// Returns the keys of claimed addresses.
    #[track_caller]
    fn keys(&self) -> Vec<String> {
        let words = ["get", "--prefix", "--keys-only", "/berth/v1/lan/a/"];
        let answer = self.cluster.etcdctl(0, &words);
        let answer = answer.unwrap_or_else(|| panic!("etcd does not answer"));
        let keys = answer.lines().filter(|line| !line.is_empty());
        keys.map(str::to_owned).collect()
    }
}

/// Returns the plugin's verb for a verb on a network in a share.
fn alone(verb: Verb) -> Verb {
    match verb {
        Verb::SharedSetup => Verb::Setup,
        Verb::SharedTeardown => Verb::Teardown,
        Verb::SharedGc => Verb::Gc,
        other => other,
    }
}

impl Scene for SharedScene {
    fn setting(&self) -> &Setting {
        self.plugin.setting()
    }

    fn prepare(&mut self, verb: Verb) {
        self.plugin.prepare(alone(verb));
    }

    fn run(&mut self, verb: Verb) -> Outcome {
        self.plugin.run(alone(verb))
    }

    fn check_answer(&self, outcome: &Outcome, trace: &str) {
        self.plugin.check_answer(outcome, trace);
    }

    fn mend(&mut self, point: &Point) -> bool {
        self.plugin.mend(point)
    }

    fn recover(&mut self, verb: Verb, at_once: bool) {
        if !at_once {
            // Otherwise the next start would take over what is left.
            self.plugin.remove_victim();
            self.setting().lab.cmd("berth").args(["gc", "--now"]).ok();
            assert_eq!(self.keys(), self.before, "after a collection");
        }
        self.plugin.recover(alone(verb), at_once);
        assert_eq!(self.keys(), self.before, "after the next start and removal");
    }
}
