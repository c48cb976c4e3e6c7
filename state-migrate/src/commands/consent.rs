//! Asks the user at the terminal before networks are changed.

use std::io::{self, BufRead, IsTerminal, Write};

use berth::text;
use thiserror::Error;

/// The user has not agreed.
#[derive(Debug, Error)]
pub(super) enum ConsentError {
    /// There is nobody to ask.
    #[error(
        "standard input is not a terminal, so nobody can be asked: give --yes to go ahead, or \
         --dry-run to see what would be done"
    )]
    Nobody,
    /// The answer was no.
    #[error("nothing was changed")]
    No,
}

/// Asks a question, unless the answer was given on the command line.
///
/// # Errors
/// Unless the answer is yes.
pub(super) fn ask(question: &str, yes: bool) -> Result<(), super::Failure> {
    if yes {
        return Ok(());
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(ConsentError::Nobody.into());
    }
    let mut stderr = io::stderr();
    write!(stderr, "{} [y/N] ", text::lines(question))?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        Ok(())
    } else {
        Err(ConsentError::No.into())
    }
}
