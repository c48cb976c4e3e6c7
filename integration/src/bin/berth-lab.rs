//! Runs a command, or a shell, in a lab of its own: `berth-lab [COMMAND [ARGUMENT…]]`.

use std::process::ExitCode;

use berth_integration::Lab;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let program = words.next().unwrap_or_else(|| "bash".to_owned());
    let lab = Lab::start();
    let mut cmd = lab.cmd(&program).args(words);
    if let Ok(terminal) = std::env::var("TERM") {
        cmd = cmd.env("TERM", &terminal);
    }
    let status = cmd.attached();
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
