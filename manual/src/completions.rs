//! The shells' completions. Each asks the program itself what may come next
//! (`berth::frontend::completion`), so a word is completed from what exists.

use berth::frontend::completion::VARIABLE;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

/// What bash needs besides.
const WHOLE_WORDS: &str = include_str!("whole-words.bash");

/// What zsh needs besides: it runs the file at the first completion, as the function of
/// this name, and what the file has only defined by then must be called as well.
const AUTOLOADED: &str = "
if [[ $funcstack[1] = _PROGRAM ]]; then
    _clap_dynamic_completer_NAME \"$@\"
fi
";

/// Returns the files for a program, below a directory such as `/usr/share`.
pub(crate) fn of_command(program: &str) -> [(String, String); 3] {
    [
        (
            format!("bash-completion/completions/{program}"),
            script(&Bash, program, WHOLE_WORDS),
        ),
        (
            format!("zsh/site-functions/_{program}"),
            script(&Zsh, program, AUTOLOADED),
        ),
        (
            format!("fish/vendor_completions.d/{program}.fish"),
            script(&Fish, program, ""),
        ),
    ]
}

/// Returns clap's script for a shell, with ours after it.
fn script(shell: &dyn EnvCompleter, program: &str, ours: &str) -> String {
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, program, program, program, &mut script)
        .expect("memory takes everything");
    let script = String::from_utf8(script).expect("a script is text");
    let ours = ours.replace("NAME", &program.replace('-', "_"));
    script.trim_end().to_owned() + "\n" + &ours.replace("PROGRAM", program)
}
