//! Finding the file that an address means.

use std::path::{Path, PathBuf};

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Uri};

use crate::services::previews::web::inside;

/// What an address within a site stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    File(PathBuf),
    /// A folder with an index: its relative links need the slash.
    NeedsSlash,
    Nothing,
}

/// Looks for `path`, decoded and without its leading slash, below `root`. A
/// site of one page with a router of its own answers every address that a
/// person could navigate to; a missing script or image stays missing.
pub(super) fn find(root: &Path, path: &str, navigates: bool) -> Target {
    let index = root.join("index.html");
    if path.is_empty() {
        return if index.is_file() {
            Target::File(index)
        } else {
            Target::Nothing
        };
    }
    if let Some(name) = inside(path) {
        let exact = root.join(&name);
        if path.ends_with('/') {
            let folder_index = exact.join("index.html");
            if folder_index.is_file() {
                return Target::File(folder_index);
            }
        } else if exact.is_file() {
            return Target::File(exact);
        } else if exact.join("index.html").is_file() {
            return Target::NeedsSlash;
        } else if let Some(page) = page_of(&exact) {
            return Target::File(page);
        }
    }
    if navigates && index.is_file() {
        return Target::File(index);
    }
    Target::Nothing
}

/// `about` as exporters write it: `about.html`.
fn page_of(path: &Path) -> Option<PathBuf> {
    let mut name = path.file_name()?.to_owned();
    name.push(".html");
    Some(path.with_file_name(name)).filter(|page| page.is_file())
}

/// Whether a person goes to this address, rather than a page asking for a part
/// of itself.
pub(super) fn is_navigation(headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(mode) = text("sec-fetch-mode") {
        return matches!(mode, "navigate" | "nested-navigate");
    }
    let takes_pages = text(ACCEPT.as_str()).is_some_and(|a| a.contains("text/html"));
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    takes_pages && !last.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_files_pages_and_the_single_page() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for file in ["index.html", "about.html", "docs/index.html", "assets/a.js"] {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let file = |name: &str| Target::File(root.join(name));
        for (path, navigates, expected) in [
            ("", false, file("index.html")),
            ("assets/a.js", false, file("assets/a.js")),
            ("about", false, file("about.html")),
            ("docs", true, Target::NeedsSlash),
            ("docs/", true, file("docs/index.html")),
            ("users/7", true, file("index.html")),
            ("users/7", false, Target::Nothing),
            ("assets/b.js", false, Target::Nothing),
            ("../secret", false, Target::Nothing),
            ("a/../../secret", false, Target::Nothing),
            ("/etc/passwd", false, Target::Nothing),
        ] {
            assert_eq!(find(root, path, navigates), expected, "{path}");
        }
    }

    #[test]
    fn a_site_without_index_has_no_start() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(find(folder.path(), "", true), Target::Nothing);
        assert_eq!(find(folder.path(), "x", true), Target::Nothing);
    }

    #[test]
    fn browsers_say_what_they_do_and_others_are_guessed() {
        let told = |name: &'static str, value: &'static str, uri: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, axum::http::HeaderValue::from_static(value));
            is_navigation(&headers, &Uri::from_static(uri))
        };
        assert!(told("sec-fetch-mode", "navigate", "/a.b"));
        assert!(!told("sec-fetch-mode", "no-cors", "/a"));
        assert!(told("accept", "text/html,*/*", "/users/7"));
        assert!(!told("accept", "text/html,*/*", "/users/7.png"));
        assert!(!told("accept", "*/*", "/users/7"));
    }
}
