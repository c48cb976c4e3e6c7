//! The picture as a page: one file that loads nothing else, with a table below the
//! picture.

use std::fmt::Write as _;

use super::legend::{counts, meaning, number, scale, sign};
use super::svg::{escaped, inline, style, variables};
use crate::frontend::operator::list::kind;
use crate::frontend::operator::words::{short, shown_id};
use crate::upkeep::overview::{Chart, Entry, Sheet, State};

const STYLE: &str = "\
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  margin: 0 auto; max-width: 60rem; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { color: var(--pale); margin: .25rem 0 1rem; }
ul { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; list-style: none; padding: 0; }
li { align-items: center; display: flex; gap: .45rem; }
li b { font-variant-numeric: tabular-nums; }
i { border-radius: 4px; color: var(--paper); display: inline-block; font: 600 11px/16px monospace;
  height: 16px; text-align: center; width: 16px; }
svg { display: block; width: 100%; }
svg rect:hover { stroke: var(--ink); stroke-width: 2; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--free); padding: .35rem .8rem .35rem 0; text-align: left;
  vertical-align: top; }
th { color: var(--pale); font-weight: 500; }
td:first-child, code { font-family: ui-monospace, monospace; font-size: .92em; }
td:nth-child(-n+6) { white-space: nowrap; }
td span { align-items: center; display: inline-flex; gap: .45rem; }
tr:target td { background: var(--free); }
";

/// Returns the page.
pub(super) fn page(chart: &Chart, entries: &[Entry], at: &str) -> String {
    let name = escaped(&chart.network);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'\">\n\
         <title>Addresses of network {name}</title>\n<style>\n{}{}{STYLE}{}</style>\n\
         <h1>Network {name}</h1>\n<p>as of {}</p>\n",
        variables(),
        style(),
        backgrounds(),
        escaped(at)
    );
    for sheet in &chart.subnets {
        subnet(&mut page, sheet);
    }
    table(&mut page, entries);
    page + "</html>"
}

fn subnet(page: &mut String, sheet: &Sheet) {
    let _ = writeln!(page, "<h2>{}</h2>\n<ul>", sheet.totals.subnet);
    for (state, count) in counts(&sheet.totals) {
        let words = format!("<b>{}</b> {}", number(count), meaning(state));
        let _ = writeln!(page, "<li>{} {words}</li>", chip(state));
    }
    page.push_str("</ul>\n");
    if let Some(scale) = scale(sheet) {
        let _ = writeln!(
            page,
            "<p>{scale}; the stronger the green, the more of them are leased</p>"
        );
    }
    let _ = writeln!(page, "{}", inline(sheet));
}

fn table(page: &mut String, entries: &[Entry]) {
    if entries.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Addresses</h2>\n<table>\n<tr><th>Address<th>State<th>Container<th>Kind<th>Age\
         <th>Expires<th>Reason</tr>\n",
    );
    for entry in entries {
        let id = shown_id(&entry.container_id, false);
        let container = match id {
            "" => escaped(&entry.container_name),
            id => format!(
                "{} <code>{}</code>",
                escaped(&entry.container_name),
                escaped(id)
            ),
        };
        let _ = writeln!(
            page,
            "<tr id=\"{address}\"><td>{address}<td><span>{} {}</span><td>{container}<td>{}<td>{}\
             <td>{}<td>{}</tr>",
            chip(entry.state),
            meaning(entry.state),
            entry.kind.map_or("", kind),
            entry.age.map(short).unwrap_or_default(),
            entry.left.map(short).unwrap_or_default(),
            escaped(&entry.reason),
            address = entry.address
        );
    }
    page.push_str("</table>\n");
}

/// Returns a small square in a state's colour, with its sign if it has one.
fn chip(state: State) -> String {
    let sign = match state {
        State::Unknown | State::Dead | State::Reserved | State::Gateway => sign(state).to_string(),
        _ => String::new(),
    };
    format!("<i class=\"chip-{state}\">{sign}</i>")
}

/// Returns the CSS rules for the squares: SVG has `fill` where HTML has a background.
fn backgrounds() -> String {
    let rules = super::legend::STATES
        .map(|state| format!(".chip-{state} {{ background: var(--{state}); }}\n"));
    rules.concat()
}

#[cfg(test)]
mod tests {
    use super::super::svg::frame;
    use super::super::terminal::tests::overview;
    use super::*;

    #[test]
    fn a_page_fetches_nothing_and_says_who() {
        let subnet = r#"{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}"#;
        let overview = overview(subnet, &["10.0.0.2", "10.0.0.3"]);
        let network = &overview.networks[0];
        let entries = overview.entries(true);
        let chart = Chart::of(network, &entries, frame);
        let page = page(&chart, &entries, "now");
        assert!(page.contains(
            "<tr id=\"10.0.0.3\"><td>10.0.0.3<td><span><i class=\"chip-dead\">×</i> dead</span>"
        ));
        assert!(page.contains("<a href=\"#10.0.0.3\"><rect class=\"dead\""));
        assert!(page.contains("it is reserved for no container (&lt;the printer&gt;)"));
        for fetched in ["http:", "https:", "src=", "url(", "@import", "<script"] {
            assert!(!page.contains(fetched), "{fetched}");
        }
    }
}
