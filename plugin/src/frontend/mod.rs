//! The front ends: each turns what its caller says into calls of the library,
//! and the result into what its caller expects. They decide nothing.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::panic::{self, UnwindSafe};
use std::process::ExitCode;

use serde::Serialize;

use crate::text;

mod command_line;
pub mod completion;
pub mod netavark;
pub mod operator;
pub mod plugin;
mod wire;

pub use command_line::{CommandLine, Verb};
pub use wire::report;

/// Runs a command to its end and returns the program's exit code. An error or a panic
/// goes to `report`, in one line.
pub fn finish<E: Error + 'static>(
    program: &str,
    command: impl FnOnce() -> Result<ExitCode, E> + UnwindSafe,
    report: impl FnOnce(&str),
) -> ExitCode {
    let message = match panic::catch_unwind(command) {
        Ok(Ok(code)) => return code,
        Ok(Err(error)) => crate::chain(&error),
        Err(_) => format!("internal error, a bug in {program}; its message is on standard error"),
    };
    report(&message);
    ExitCode::FAILURE
}

/// Prints an error for people, on standard error.
pub fn complain(message: &str) {
    // If even that cannot be written, there is nothing left to do.
    let _ = say(&mut io::stderr(), &format!("Error: {message}"));
}

/// Prints a text for people, with a newline.
///
/// # Errors
/// If the output cannot be written.
pub fn say(stream: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(stream, "{}", text::lines(text))
}

/// Prints the result of a command on standard output, for people or as JSON.
///
/// # Errors
/// If the output cannot be written.
pub fn print(result: &(impl Display + Serialize), json: bool) -> io::Result<()> {
    if json {
        return print_json(result);
    }
    say(&mut io::stdout().lock(), &result.to_string())
}

/// Prints one JSON document on standard output.
///
/// # Errors
/// If the output cannot be written.
pub fn print_json(document: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    writeln!(io::stdout().lock(), "{}", text::json(&text))
}

/// Prints on standard output a result that may have colours, or JSON. The caller has
/// passed each text of others in it through [`text::foreign`].
///
/// # Errors
/// If the output cannot be written.
fn print_coloured(result: &(impl Display + Serialize), json: bool) -> io::Result<()> {
    if json {
        return print_json(result);
    }
    writeln!(io::stdout().lock(), "{result}")
}
