//! Exchanges a lab's Podman, netavark and aardvark-dns for those of another lab, while
//! containers run.

use crate::Lab;
use crate::lab::prepared_for;

/// Where the other labs' roots can be read.
const OTHERS: &str = "/mnt/podmans";

/// Puts another root's `/usr` over the present one, as an upgrade of the distribution does:
/// programs and their libraries change, state and running processes stay. What a lab adds
/// below `/usr` is added again. The argument is that root.
const EXCHANGE: &str = r#"
    new=$(mktemp -d)
    mount -t tmpfs lab "$new"
    mkdir "$new"/{upper,work,usr}
    mount -t overlay -o "lowerdir=$1/usr,upperdir=$new/upper,workdir=$new/work" lab "$new/usr"
    for file in libexec/netavark/berth local/bin/{berth,berth-migrate,berth-manual,lab-store}; do
      mkdir -p "$new/usr/${file%/*}"
      : >"$new/usr/$file"
      mount --bind "/usr/$file" "$new/usr/$file"
    done
    # What `berth host-wide on` has made: a link.
    if [ -e /usr/local/libexec/podman ]; then
      mkdir -p "$new/usr/local/libexec"
      cp -a /usr/local/libexec/podman "$new/usr/local/libexec"
    fi
    mount --rbind "$new/usr" /usr"#;

impl Lab {
    /// Starts a lab whose Podman can be exchanged for that of labs with these names.
    ///
    /// # Panics
    /// If one of them is not prepared; the message says what to do.
    #[track_caller]
    pub fn start_with_podmans(names: &[&str]) -> Self {
        let roots = names.iter().map(|name| {
            let directory = prepared_for(name);
            assert!(
                directory.join("base.stamp").exists(),
                "there is no lab in {}: run `BERTH_LAB={name} integration/lab/prepare` as root, \
                 or `make test-all`",
                directory.display()
            );
            (directory.join("base"), format!("{OTHERS}/{name}"))
        });
        Self::start_beside(&roots.collect::<Vec<_>>())
    }

    /// Exchanges programs and libraries for those of the lab of this name.
    ///
    /// # Panics
    /// If that fails, or this lab was started without that one.
    #[track_caller]
    pub fn exchange_podman(&self, name: &str) {
        let root = format!("{OTHERS}/{name}");
        let script = ["-euc", EXCHANGE, "bash", &root];
        self.seen_by(None).cmd("bash").args(script).ok();
    }
}
