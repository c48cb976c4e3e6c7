//! Writes what is installed beside the executables: man pages and completions, made
//! from the definitions that the commands themselves use.

mod completions;
mod conf;
mod page;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use berth::frontend::{CommandLine, complain};
use clap::{Command, CommandFactory};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let (Some(share), None) = (arguments.next(), arguments.next()) else {
        complain("usage: berth-manual DIRECTORY (as in /usr/share)");
        return ExitCode::from(2);
    };
    match write_all(Path::new(&share)) {
        Ok(()) => ExitCode::SUCCESS,
        Err((path, error)) => {
            complain(&format!("failed to write {}: {error}", path.display()));
            ExitCode::FAILURE
        }
    }
}

/// Writes every file below a directory such as `/usr/share`.
fn write_all(share: &Path) -> Result<(), (PathBuf, io::Error)> {
    let mut files = vec![("man/man5/berth.conf.5".to_owned(), conf::page())];
    for command in commands() {
        let name = command.get_name().to_owned();
        files.push((format!("man/man1/{name}.1"), page::of_command(&command)));
        files.extend(completions::of_command(&name));
    }
    for (name, text) in files {
        let path = share.join(name);
        let parent = path.parent().unwrap_or(share);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| (path, error))?;
    }
    Ok(())
}

/// Returns what berth's executables understand on their command lines.
fn commands() -> [Command; 2] {
    [
        CommandLine::command(),
        berth_migrate::commands::CommandLine::command(),
    ]
}
