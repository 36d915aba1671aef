//! What users of small boards rely on, on an emulated one: `make test-boards`. SSR_BOARD says which.

mod containers;
mod figures;
mod many_sites;
mod serve;

use ssr_e2e::Board;
use ssr_e2e::board::{Page, pages_in_node};

/// The pages that the board's server must answer with, as Node renders them.
fn expected_pages(board: &mut Board, port: u16) -> Vec<Page> {
    let version = board.run("ssr --version");
    let version = version.split_whitespace().last().expect("a version");
    let environment = [
        ("SSR_SERVER", &*format!("containerd-shim-ssr/{version}")),
        ("SSR_ARCH", board.processor()),
        ("SSR_BACKEND", board.back_end()),
        ("SSR_HOSTNAME", "board"),
    ];
    pages_in_node(&format!("http://127.0.0.1:{port}"), &environment)
}

/// What the board's visitor gets for paths: statuses and bodies.
fn ask(board: &mut Board, port: u16, paths: &[&str]) -> Vec<(u16, String)> {
    let words: Vec<String> = paths.iter().map(|path| format!("'{path}'")).collect();
    let script = format!("ask -w 300 {port} {} || true", words.join(" "));
    let output = board.run(&script);
    let mut rest = output.as_str();
    let mut answers = Vec::new();
    while let Some((head, body)) = rest.split_once('\n') {
        let (status, length) = head.split_once(' ').expect("a status and a length");
        let (body, after) = body.split_at(length.parse().expect("a length"));
        answers.push((status.parse().expect("a status"), body.to_owned()));
        rest = after.strip_prefix('\n').expect("a line break");
    }
    assert_eq!(answers.len(), paths.len(), "{output}");
    answers
}

/// Asserts that every page is byte for byte what Node makes of it.
fn assert_pages_equal_nodes(board: &mut Board, port: u16) {
    let expected = expected_pages(board, port);
    assert!(expected.len() > 10, "the site lists its pages");
    let paths: Vec<&str> = expected.iter().map(|page| page.path.as_str()).collect();
    let answers = ask(board, port, &paths);
    for (page, (status, html)) in expected.iter().zip(answers) {
        assert_eq!(status, page.status, "{}", page.path);
        assert!(html == page.html, "{} differs\n--- Node\n{}\n--- the board\n{html}", page.path, page.html);
    }
    println!("{}: {} pages equal Node's", board.name(), expected.len());
}
