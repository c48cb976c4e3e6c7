//! The `berth` executable: hands the command line to a front end.

use std::env;
use std::process::ExitCode;

use berth::frontend::{CommandLine, Verb, completion, finish, netavark, operator, plugin, report};
use clap::{CommandFactory, Parser, Subcommand};

fn main() -> ExitCode {
    if let Some(answered) = completion::answer(CommandLine::command) {
        return answered;
    }
    berth::logging::start();
    let mut arguments = env::args_os();
    if arguments
        .next()
        .is_some_and(|name| netavark::is_meant(&name))
    {
        return netavark::run(arguments.collect());
    }
    let quick = CommandLine::of_netavark(env::args_os());
    let whole = || CommandLine::try_parse().map(|line| line.verb);
    let verb = match quick.map_or_else(whole, |verb| Ok(Some(verb))) {
        Ok(verb) => verb,
        Err(error) if error.use_stderr() && !is_for_people() => {
            report(&one_line(&error));
            return ExitCode::FAILURE;
        }
        Err(for_people) => for_people.exit(),
    };
    if let Some(Verb::Operator(command)) = verb {
        return operator::run(&command);
    }
    let act = || {
        match verb {
            Some(Verb::Create) => plugin::create(),
            Some(Verb::Setup { netns }) => plugin::setup(&netns),
            Some(Verb::Teardown { netns }) => plugin::teardown(&netns),
            Some(Verb::Info | Verb::Operator(_)) | None => plugin::info(),
        }
        .map(|()| ExitCode::SUCCESS)
    };
    finish("berth", act, report)
}

/// Returns whether a command line that berth does not understand was written by a
/// person, that is, whether it is an operator's command with a bad argument. Anything
/// else may come from netavark.
fn is_for_people() -> bool {
    let named = env::args_os().nth(1);
    let named = named.as_deref().and_then(|name| name.to_str());
    named.is_some_and(operator::Command::has_subcommand)
}

/// Returns what is wrong with the command line, in one line for netavark's error
/// message.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let said = text.lines().take_while(|line| !line.is_empty());
    let said: Vec<_> = said.map(str::trim).collect();
    let said = said.join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    format!("{said}; see `berth --help`")
}
