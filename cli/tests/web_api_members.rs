//! The table of web APIs in docs/javascript.md: which members of the standards are here,
//! and which are in Node 20. Regenerate it with
//! `UPDATE_DOCS=1 cargo test --release --test web_api_members`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Server, in_node};
use serde_json::{Map, Value};

/// The interfaces that servers are expected to have (WinterTC's minimum common API), each
/// with its standard and the members there. Made from the standards' own IDL, as
/// `@webref/idl` 3.85 collects it.
const INTERFACES: &str = include_str!("web_apis/members.json");
const BEGIN: &str = "<!-- This table is made by cli/tests/web_api_members.rs. -->\n";
const END: &str = "<!-- End of the table. -->";

/// The members of `all` that `missing` does not have, and the other way round.
fn split<'a>(all: &'a str, missing: &Value) -> (Vec<&'a str>, Vec<&'a str>) {
    let is_missing =
        |member: &&str| missing.as_array().is_none_or(|list| list.iter().any(|name| name == member));
    let (absent, present) = all.split(' ').partition(is_missing);
    (present, absent)
}

fn code(members: &[&str]) -> String {
    members.iter().map(|member| format!("`{member}`")).collect::<Vec<_>>().join(" ")
}

fn table(ours: &Map<String, Value>, node: &Map<String, Value>) -> String {
    let interfaces: Map<String, Value> = serde_json::from_str(INTERFACES).unwrap();
    let mut table =
        "| interface | members that are here | that are not | that Node 20 has not |\n|---|---|---|---|\n"
            .to_owned();
    for (name, interface) in &interfaces {
        let members = interface["members"].as_str().unwrap();
        let (present, absent) = split(members, &ours[name]);
        let (_, not_in_node) = split(members, &node[name]);
        let or_all = |list: &[&str], whole: bool| if whole { "all".to_owned() } else { code(list) };
        table += &format!(
            "| [`{name}`]({}) | {} | {} | {} |\n",
            interface["standard"].as_str().unwrap(),
            code(&present),
            or_all(&absent, ours[name].is_null()),
            or_all(&not_in_node, node[name].is_null()),
        );
    }
    table
}

/// The table without what only Node 20 can tell.
fn without_node(table: &str) -> String {
    table.lines().map(|line| line.rsplitn(3, " | ").last().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_documentation_says_which_members_are_here_and_in_node() {
    let bundle = format!("const interfaces = {INTERFACES};{}", include_str!("web_apis/members.js"));
    let server = Server::start(&bundle, &[], &[]);
    let ours = serde_json::from_slice(&server.get("/").body).unwrap();
    let made = table(&ours, &in_node(&bundle));
    let version = Command::new("node").arg("--version").output().unwrap();
    let is_node_20 = version.stdout.starts_with(b"v20.");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/javascript.md");
    let docs = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = docs.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        assert!(is_node_20, "the table can only be made with Node 20");
        std::fs::write(&path, format!("{before}{BEGIN}\n{made}\n{END}{after}")).unwrap();
        return;
    }
    let same = if is_node_20 {
        written.trim() == made.trim()
    } else {
        without_node(written.trim()) == without_node(made.trim())
    };
    assert!(same, "docs/javascript.md must have this table (UPDATE_DOCS=1 writes it):\n{made}");
}
