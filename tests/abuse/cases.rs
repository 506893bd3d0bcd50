//! Holds the table at the top of this suite to account: every test that it
//! names is there, and every code is one of the contract.

use std::fs;
use std::path::Path;

use hivesync::error::Code;

const TABLE: &str = include_str!("main.rs");

/// What stands in the place of a code: nothing is answered, or the answer is
/// the protocol's own.
const ENDINGS: [&str; 11] = [
    "200", "400", "431", "closed", "cut", "its row", "killed", "left out", "not run", "refused",
    "synced",
];

struct Row<'a> {
    file: &'a str,
    test: &'a str,
    ending: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let cells = TABLE
        .lines()
        .filter_map(|line| line.strip_prefix("//! |"))
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .skip(2)
        .map(|cells| match cells[..] {
            [_, file, test, ending, ""] => Row { file, test, ending },
            _ => panic!("not a row: {cells:?}"),
        })
        .collect()
}

/// Whether `source` has a test of that name.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let named = line
            .strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('));
        named && at > 0 && lines[at - 1].starts_with("#[") && lines[at - 1].contains("test")
    })
}

#[test]
fn every_case_has_its_test() {
    let rows = rows();
    assert!(rows.len() > 80, "only {} rows", rows.len());
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for Row { file, test, ending } in rows {
        let source = fs::read_to_string(tests.join(file)).unwrap_or_default();
        assert!(has_test(&source, test), "tests/{file} has no test {test}");
        let known = Code::parse(ending).is_some() || ending == "text" || ENDINGS.contains(&ending);
        assert!(known, "{test}: {ending} is no code");
    }
}

#[test]
fn a_helper_is_not_taken_for_a_test() {
    assert!(has_test("#[tokio::test]\nasync fn a_case() {", "a_case"));
    assert!(!has_test("async fn a_case() {", "a_case"));
    assert!(!has_test("#[test]\nfn a_case_more() {", "a_case"));
}
