//! The `berth-migrate` executable: reads the command line and runs the command.

use std::process::ExitCode;

use berth::frontend::completion;
use berth_migrate::commands::{self, CommandLine};
use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    if let Some(answered) = completion::answer(CommandLine::command) {
        return answered;
    }
    berth::logging::start();
    commands::run(&CommandLine::parse().command)
}
