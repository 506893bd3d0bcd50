//! The dependency rule of `src/lib.rs`, read from the sources: who may name
//! whom with `crate::`. An edge that goes up fails here with its line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Plain values and the rules of the process's life: used by everyone.
const VALUES: &[&str] = &["clock", "disk", "domain", "error"];
const SETTINGS: &[&str] = &["config", "data_dir", "lifecycle"];
const PORTS: &[&str] = &["store", "ephemeral", "blobs"];
const SOURCES_AND_BUNDLES: &[&str] = &["git", "bundle"];

/// Adapters: named by `app` and in their port's own folder, nowhere else.
const ADAPTERS: &[&str] = &[
    "store::memory",
    "store::redb",
    "ephemeral::memory",
    "ephemeral::sled",
    "blobs::store",
    "blobs::memory",
    "blobs::local",
];

/// Which modules each module may name, besides itself.
fn rule() -> BTreeMap<&'static str, Vec<&'static str>> {
    let with = |lists: &[&[&'static str]]| lists.concat();
    let services = with(&[
        VALUES,
        SETTINGS,
        PORTS,
        SOURCES_AND_BUNDLES,
        // The state that a service is given, and the jobs that it enqueues: a
        // job's type is plain data with its queue and its retry rule.
        &["app", "jobs"],
    ]);
    let entrances = with(&[
        VALUES,
        SETTINGS,
        PORTS,
        SOURCES_AND_BUNDLES,
        &["app", "services"],
    ]);
    BTreeMap::from([
        ("clock", vec![]),
        ("error", vec![]),
        ("disk", vec!["error"]),
        ("domain", vec!["clock", "error"]),
        ("lifecycle", vec!["error"]),
        ("data_dir", vec!["disk", "domain", "error"]),
        ("config", with(&[VALUES, &["data_dir"]])),
        ("store", with(&[VALUES, SETTINGS])),
        ("ephemeral", with(&[VALUES, SETTINGS])),
        ("blobs", with(&[VALUES, SETTINGS])),
        ("net", vec![]),
        ("git", with(&[VALUES, SETTINGS, &["net"]])),
        // A bundle is made of parts, some of which the store has already.
        ("bundle", with(&[VALUES, SETTINGS, &["blobs", "net"]])),
        ("services", services),
        ("jobs", entrances.clone()),
        ("http", entrances.clone()),
        ("worker", [entrances.clone(), vec!["jobs"]].concat()),
        (
            "cli",
            [entrances.clone(), vec!["http", "net", "worker"]].concat(),
        ),
        ("app", with(&[VALUES, SETTINGS, PORTS, SOURCES_AND_BUNDLES])),
        ("main", vec!["cli"]),
        // Named by nobody: the macro alone leads there.
        ("stop_points", vec![]),
    ])
}

#[test]
fn no_edge_goes_up() {
    let rule = rule();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut complaints = Vec::new();
    let mut edges = 0;
    for file in rust_files(&src) {
        let inside = file.strip_prefix(&src).expect("below src");
        let module = top_module(inside);
        if module == "lib" {
            continue;
        }
        let Some(allowed) = rule.get(module.as_str()) else {
            complaints.push(format!("src/{module}: a module without a rule"));
            continue;
        };
        let text = fs::read_to_string(&file).expect("a source file");
        for (line, path) in crate_paths(&text) {
            edges += 1;
            let target = path.split("::").next().unwrap_or_default();
            // A macro at the crate's root belongs to nobody.
            if target == module || !rule.contains_key(target) {
                continue;
            }
            let place = format!("src/{}:{line}", inside.display());
            if !allowed.contains(&target) {
                complaints.push(format!(
                    "{place}: {module} may not use {target} (crate::{path})"
                ));
            }
            let adapter = ADAPTERS
                .iter()
                .any(|adapter| path == *adapter || path.starts_with(&format!("{adapter}::")));
            if adapter && module != "app" {
                complaints.push(format!(
                    "{place}: only app names an adapter (crate::{path})"
                ));
            }
        }
    }
    assert!(
        edges > 100,
        "only {edges} edges found: the reader is broken"
    );
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// A release build has no stopping points: their module is declared for debug
/// builds alone, the macro that leads there expands to nothing without it, and
/// nobody goes another way.
#[test]
fn a_release_build_has_no_stopping_points() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let named_by: Vec<_> = rust_files(&src)
        .into_iter()
        .filter(|file| {
            let text = fs::read_to_string(file).expect("a source file");
            text.lines()
                .any(|line| code_of(line).contains("stop_points"))
        })
        .collect();
    assert_eq!(named_by, [src.join("lib.rs")]);
    let lib = fs::read_to_string(src.join("lib.rs")).expect("the crate's root");
    let lines: Vec<&str> = lib.lines().map(str::trim).collect();
    let places = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| code_of(line).contains("stop_points"));
    for (at, line) in places {
        assert_eq!(lines[at - 1], "#[cfg(debug_assertions)]", "before {line}");
    }
}

#[test]
fn the_reader_sees_every_form_of_a_path() {
    let text = "\
//! Not this: crate::comment
use crate::clock::{Clock, Random};
use crate::{app::App, http};
pub fn f() -> crate::error::Result<()> { let _ = \"crate::text\"; } // crate::remark
#[cfg(test)]
mod tests {
    use crate::hidden;
}
";
    let paths: Vec<String> = crate_paths(text).into_iter().map(|(_, p)| p).collect();
    assert_eq!(
        paths,
        [
            "clock::Clock",
            "clock::Random",
            "app::App",
            "http",
            "error::Result"
        ]
    );
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs")
            // Unit tests in a file of their own may wire what they need.
            && path.file_stem().is_some_and(|stem| stem != "tests")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `http` for `http/routes/auth.rs`, `app` for `app.rs`.
fn top_module(inside: &Path) -> String {
    let first = inside.iter().next().expect("a file has a name");
    let name = first.to_str().expect("a plain name");
    name.strip_suffix(".rs").unwrap_or(name).to_owned()
}

/// Every path after `crate::` with its line, tests and comments left out.
fn crate_paths(text: &str) -> Vec<(usize, String)> {
    let text = text
        .split("#[cfg(test)]\nmod ")
        .next()
        .expect("split gives at least one part");
    let code: String = text.lines().map(|line| code_of(line) + "\n").collect();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let line = code[..at].lines().count().max(1);
        let mut paths = Vec::new();
        expand("", &code[at + "crate::".len()..], &mut paths);
        found.extend(paths.into_iter().map(|path| (line, path)));
    }
    found
}

/// The line without its comment and without what stands in quotes.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => drop(chars.next()),
            '"' => quoted = !quoted,
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            c if !quoted => code.push(c),
            _ => {}
        }
    }
    code
}

/// Follows a path and its braces; answers what is left behind it.
fn expand<'a>(prefix: &str, rest: &'a str, found: &mut Vec<String>) -> &'a str {
    let rest = rest.trim_start();
    if let Some(mut inner) = rest.strip_prefix('{') {
        loop {
            inner = inner.trim_start();
            match inner.chars().next() {
                Some('}') => return &inner[1..],
                Some(',') => inner = &inner[1..],
                None => return inner,
                Some(_) => {
                    let left = expand(prefix, inner, found);
                    if left.len() == inner.len() {
                        return inner;
                    }
                    inner = left.trim_start();
                    if let Some(renamed) = inner.strip_prefix("as ") {
                        inner =
                            renamed.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
                    }
                }
            }
        }
    }
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    let path = format!("{prefix}{}", &rest[..end]);
    match rest[end..].strip_prefix("::") {
        Some(deeper) if deeper.starts_with(|c: char| c == '{' || c.is_alphabetic() || c == '_') => {
            expand(&format!("{path}::"), deeper, found)
        }
        _ => {
            found.push(path);
            &rest[end..]
        }
    }
}
