//! The command line of `berth-migrate`. Its help, man page and completions are made from this.

use clap::Parser;

use super::Command;

/// Inspect, repair and migrate the address leases of Podman's own allocation
///
/// Podman leases the addresses of its networks itself, in the file ipam.db, and leaks one
/// whenever it is killed at the wrong moment: `requested ip address … is already allocated
/// to container ID …`, for a container that is gone. This program shows who holds what,
/// removes leases that belong to nobody, without a reboot and with containers running,
/// and moves networks to berth, which does not leak, and back.
///
/// Without root it serves the user's own Podman.
#[derive(Debug, Parser)]
#[command(name = "berth-migrate", version, after_long_help = MANUAL)]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: Command,
}

const MANUAL: &str = "\
Examples:
  During the outage: a container does not start; its address is leased to one that is gone.
      berth-migrate sanitise --dry-run
      berth-migrate sanitise
      systemctl start web.service
  Who holds which address, and what is wrong with the file:
      berth-migrate inspect
  Before each start of a service (systemd):
      ExecStartPre=-/usr/local/bin/berth-migrate sanitise
  For good: let berth lease the addresses, while the containers run.
      berth-migrate adopt --all

Exit codes:
  0  done, and all is well
  1  something was found, is in doubt or could not be done; standard error or the report says
     what
  2  the command line is wrong
  `berth-migrate COMMAND --help` says what that means for each.

Environment:
  BERTH_LOG         Log level (error, warn, info, debug, trace) or env_logger filter
  BERTH_NETAVARK    The netavark to run; by default the one that Podman runs
  BERTH_STATE_DIR   Where berth's lease store lives (adopt, rollback)
  CONTAINERS_CONF   As for Podman, so that its networks are found where it has them
  CONTAINER_HOST, CONTAINER_CONNECTION
                    Not used: only the Podman of this host is asked

Files:
  /run/containers/networks/ipam.db
                    The leases of root's Podman; without root below the run root, by default
                    $XDG_RUNTIME_DIR/containers/networks/ipam.db
  ipam.db.berth-<time>
                    As it was before a change, beside it; the newest ten are kept
  /run/lock/netavark.lock
                    Podman's network lock, held for each change; without root netavark.lock
                    in the network configuration directory
  /etc/containers/networks
                    The network configurations; without root below the graph root";
