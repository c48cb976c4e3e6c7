//! A fake netavark that plumbs nothing. It records requests, and answers as if it had carried
//! them out.
//!
//! With it, berth's requests can be compared with Podman's own, even if the kernel lacks the
//! driver or the option.

use crate::{Driver, Lab};

const DIRECTORY: &str = "/opt/recorder";
const RECORDED: &str = "/run/recorded";

const SCRIPT: &str = r#"#!/bin/bash
# In netavark's place. NETAVARK and RECORDED are filled in by the test.
set -euo pipefail
verb=
for word in "$@"; do
  case $word in setup | teardown) verb=$word ;; esac
done
[ -n "$verb" ] || exec NETAVARK "$@"
mkdir -p RECORDED
cat >"RECORDED/$verb.json"
[ "$verb" = setup ] || exit 0
exec jq 'BY_NAME
  | .networks as $asked
  | .network_info
  | with_entries(
      .value as $network | $asked[.key] as $options
      | .value = {
          dns_search_domains: ["dns.podman"],
          dns_server_ips: [],
          interfaces: {
            ($options.interface_name): {
              mac_address: ($options.static_mac // "02:00:00:00:00:01"),
              subnets: [
                ($options.static_ips // []) | to_entries[] | {
                  ipnet: (.value + "/" + ($network.subnets[.key].subnet | split("/")[1])),
                  gateway: $network.subnets[.key].gateway
                }
              ]
            }
          }
        })' "RECORDED/$verb.json"
"#;

/// Podman 6 sends what a container asks for on its networks as a list; Podman 5 and berth's
/// plugin send a map by the networks' names. This turns the list into the map. netavark 2 takes
/// both.
const BY_NAME: &str =
    "(.networks | arrays) |= (map({key: .name, value: del(.name)}) | from_entries)";

impl Lab {
    /// Makes every podman of this lab run the recorder in netavark's place, or, with
    /// berth, makes the plugin run it.
    #[track_caller]
    pub fn record_requests(&self, driver: Driver) {
        let script = SCRIPT
            .replace("NETAVARK", &self.netavark())
            .replace("RECORDED", RECORDED)
            .replace("BY_NAME", BY_NAME);
        self.write_executable(&format!("{DIRECTORY}/netavark"), &script);
        let setting = match driver {
            Driver::Bridge => crate::outage::helpers(DIRECTORY),
            Driver::Berth | Driver::HostWide => {
                format!("env = [\"BERTH_NETAVARK={DIRECTORY}/netavark\"]")
            }
        };
        let conf = "/etc/containers/containers.conf.d/50-recorder.conf";
        self.write(conf, &format!("[engine]\n{setting}\n"));
    }

    /// Returns the last request with this verb as indented JSON, without what differs from
    /// run to run (ids, the order of ports) and without what netavark does not tell a plugin
    /// (the host name, the container's DNS servers, the network's labels).
    #[track_caller]
    pub fn recorded(&self, verb: &str) -> String {
        let strip = r#"
            | .container_id[:12] as $id
            | del(.container_id, .container_hostname, .dns_servers)
            | del(.network_info[] | .id, .created, .labels)
            | del(.. | nulls)
            | (.port_mappings | arrays) |= sort
            | walk(if . == $id then "SHORT-ID" else . end)"#;
        let file = format!("{RECORDED}/{verb}.json");
        let filter = format!("{BY_NAME}{strip}");
        self.cmd("jq").args(["--sort-keys", &filter, &file]).ok()
    }
}
