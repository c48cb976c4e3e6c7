//! Man pages: one for a program, with a section for each of its commands.

use std::fmt::Write;

use clap::Command;
use clap_mangen::Man;

/// Returns the page of a program.
pub(crate) fn of_command(command: &Command) -> String {
    let mut command = without_help(command.clone());
    command.build();
    let name = command.get_name().to_owned();
    let man = Man::new(command.clone());
    let mut page = head(&name, 1);
    for section in [
        rendered(|w| man.render_name_section(w)),
        rendered(|w| man.render_synopsis_section(w)),
        rendered(|w| man.render_description_section(w)),
        rendered(|w| man.render_options_section(w)),
    ] {
        page += &section;
    }
    page += ".SH COMMANDS\n";
    add_commands(&mut page, &command, &name);
    add_extra(&mut page, &command, ".SH");
    let others = ["berth", "berth-migrate"]
        .into_iter()
        .filter(|other| *other != name);
    let others: Vec<_> = others
        .map(|other| format!("\\fB{}\\fR(1)", escaped(other)))
        .collect();
    let _ = writeln!(
        page,
        ".SH SEE ALSO\n{}, \\fBberth.conf\\fR(5), \\fBpodman\\-network\\-create\\fR(1), \\fBnetavark\\fR(1)",
        others.join(", ")
    );
    tidy(&page)
}

/// Returns the first lines of a page: its title, and what roff is to take for an apostrophe.
pub(crate) fn head(title: &str, section: u8) -> String {
    let (title, version) = (escaped(title), env!("CARGO_PKG_VERSION"));
    format!(
        ".TH {title} {section} \"\" \"berth {version}\" \"berth\"\n\
         .ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n"
    )
}

/// Returns a command whose help option is not told of: it is everywhere, and says nothing.
fn without_help(command: Command) -> Command {
    let command = command
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .subcommand_value_name("command");
    command.mut_subcommands(without_help)
}

/// Adds a section for each command, and for each command of a command.
fn add_commands(page: &mut String, parent: &Command, path: &str) {
    for command in parent.get_subcommands() {
        if command.is_hide_set() {
            continue;
        }
        let path = format!("{path} {}", command.get_name());
        let man = Man::new(command.clone());
        let _ = writeln!(page, ".SS {}", escaped(&path));
        for section in [
            rendered(|w| man.render_synopsis_section(w)),
            rendered(|w| man.render_description_section(w)),
            rendered(|w| man.render_options_section(w)),
        ] {
            // The command's name is the heading of all three.
            page.push_str(".PP\n");
            page.push_str(section.split_once('\n').map_or("", |(_, body)| body));
        }
        add_extra(page, command, ".PP\n.B");
        add_commands(page, command, &path);
    }
}

/// Adds what the help says after the options: headings that end with a colon, each with
/// lines that are indented and keep their shape; and paragraphs.
fn add_extra(page: &mut String, command: &Command, heading: &str) {
    let extra = command
        .get_after_long_help()
        .or_else(|| command.get_after_help());
    let Some(extra) = extra.map(ToString::to_string) else {
        return;
    };
    page.push_str(".PP\n");
    let mut shaped = false;
    for line in extra.lines() {
        let is_shaped = line.starts_with(' ');
        if is_shaped != shaped {
            page.push_str(if is_shaped { ".PP\n.nf\n" } else { ".fi\n" });
            shaped = is_shaped;
        }
        match line.strip_suffix(':') {
            Some(title) if !is_shaped => {
                let title = match heading {
                    ".SH" => title.to_uppercase(),
                    _ => title.to_owned(),
                };
                let _ = writeln!(page, "{heading} {}", escaped(&title));
            }
            _ if line.is_empty() => page.push_str(".PP\n"),
            _ => {
                page.push_str(&text(line));
                page.push('\n');
            }
        }
    }
    if shaped {
        page.push_str(".fi\n");
    }
}

fn rendered(render: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    render(&mut bytes).expect("memory takes everything");
    let text = String::from_utf8(bytes).expect("a page is text");
    // What defines an apostrophe stands before each section, and is needed once.
    text.find(".SH")
        .map_or_else(String::new, |section| text[section..].to_owned())
}

/// Returns a line of text in which roff sees no commands.
pub(crate) fn text(line: &str) -> String {
    let escaped = escaped(line);
    match escaped.starts_with(['.', '\'']) {
        true => format!("\\&{escaped}"),
        false => escaped,
    }
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// Returns a page without the empty lines and repeated breaks that roff warns of, in ASCII.
pub(crate) fn tidy(page: &str) -> String {
    const BREAKS: [&str; 3] = [".PP", ".sp", ".br"];
    let mut lines: Vec<&str> = Vec::new();
    for line in page.lines().map(str::trim_end) {
        let line = if line.is_empty() { ".sp" } else { line };
        let is_after = |begins: &[&str]| {
            let last = lines.last().copied().unwrap_or_default();
            begins.iter().any(|begin| last.starts_with(begin))
        };
        if BREAKS.contains(&line) && is_after(&[".PP", ".sp", ".br", ".SH", ".SS"]) {
            continue;
        }
        let begins_anew = [".SH", ".SS", ".TP", ".PP"]
            .iter()
            .any(|own| line.starts_with(own));
        if begins_anew && is_after(&BREAKS) {
            lines.pop();
        }
        lines.push(line);
    }
    let mut tidied = String::new();
    for c in (lines.join("\n") + "\n").chars() {
        match c {
            c if c.is_ascii() => tidied.push(c),
            c => {
                let _ = write!(tidied, "\\[u{:04X}]", u32::from(c));
            }
        }
    }
    tidied
}
