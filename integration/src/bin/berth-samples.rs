//! Prints the output of berth's commands that docs/USING.md shows, from real containers in a lab:
//!
//!     make samples
//!
//! Usage: `berth-samples [DIRECTORY]`. With a directory, it also writes the picture there.
#![allow(
    clippy::print_stdout,
    reason = "standard output is what this program is for"
)]

use std::path::Path;
use std::{env, fs, io};

use berth_integration::Lab;
use berth_integration::session::{GHOST, ONCE_LOST};

fn main() -> io::Result<()> {
    let lab = Lab::start().unrecorded();
    lab.busy_network(10);
    let show = |line: &str| {
        let outcome = lab.cmd("bash").args(["-euc", line]).run();
        println!("$ {line}\n{}{}", outcome.stdout, outcome.stderr);
    };
    let reserve = "berth reserve 10.50.0.40 --network web";
    show("berth list");
    show(&format!("{reserve} --for mail"));
    let printer = "10.50.0.41 --network web";
    show(&format!(
        "berth reserve {printer} --comment 'the printer in room 4'"
    ));
    show(&format!("berth unreserve {printer}"));
    show("berth map web");
    show(&format!("berth history {ONCE_LOST}"));
    show("berth metrics | grep -v '^#' | head -n 12");
    show(&format!("berth release {ONCE_LOST} --network web"));
    if let Some(directory) = env::args_os().nth(1) {
        let picture = lab.cmd("berth").args(["map", "--format=svg", "web"]).ok();
        fs::write(Path::new(&directory).join("map.svg"), picture + "\n")?;
    }
    show(&format!("berth release {GHOST} --network web"));
    show("berth gc --dry-run");
    Ok(())
}
