//! The script in a bundler, and the messages it is spoken to with: one JSON
//! object a line. `assets/bundlers/main.cjs` is the other end.

use std::fs;
use std::path::{Path, PathBuf};

use ring::digest::{Context as Digest, SHA1_FOR_LEGACY_USE_ONLY};
use rust_embed::RustEmbed;
use serde::{Deserialize, Serialize};

use crate::bundle::workbench::make_dir;
use crate::error::{Context, Result};

#[derive(RustEmbed)]
#[folder = "assets/bundlers"]
struct Scripts;

const MAIN: &str = "main.cjs";

/// Characters of a reason that is shown.
const REASON: usize = 300;

/// Writes the scripts below `dir`; answers the one to start.
pub(super) fn write(dir: &Path) -> Result<PathBuf> {
    make_dir(dir)?;
    for name in Scripts::iter() {
        if let Some(script) = Scripts::get(&name) {
            fs::write(dir.join(name.as_ref()), script.data)
                .or_internal("write a bundler's script")?;
        }
    }
    Ok(dir.join(MAIN))
}

/// The first line.
#[derive(Debug, Serialize)]
pub(super) struct Begin<'a> {
    pub(super) nonce: &'a str,
    /// The checkout and the folder of the project in it, as the bundler sees them.
    pub(super) tree: &'a Path,
    pub(super) root: &'a Path,
    pub(super) kind: &'a str,
    pub(super) platform: &'a str,
    pub(super) entry: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ready {
    pub(super) ready: bool,
    /// When it is not: no process that is kept can build such a project as a
    /// new one does.
    pub(super) why: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Order<'a> {
    pub(super) id: u64,
    pub(super) out: &'a Path,
    pub(super) changes: &'a [FileChange<'a>],
}

#[derive(Debug, Serialize)]
pub(super) struct FileChange<'a> {
    pub(super) path: PathBuf,
    pub(super) change: &'a str,
}

#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) end: End,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "ended", rename_all = "snake_case")]
pub(super) enum End {
    /// `proof`: see [`proof`].
    Built { proof: String },
    /// Why is told on the log.
    Failed,
    /// Only a new process can build that.
    Stale { why: String },
}

/// A reason that a bundler gives, for a log: one line, and no long one. The
/// project's code may have written it.
pub(super) fn reason(why: &str) -> String {
    let plain = why.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(REASON).collect()
}

/// One digest for all changed files, as the bundler makes it, too: the SHA-1 of
/// a line for each, with the file's SHA-1 (or `-` for one that is gone) and its
/// path, in the order they were given in.
pub(super) fn proof<'a>(files: impl Iterator<Item = (&'a Path, Option<Vec<u8>>)>) -> String {
    let mut digest = Digest::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for (path, bytes) in files {
        let content = bytes.map_or_else(|| "-".to_owned(), |bytes| sha1(&bytes));
        digest.update(content.as_bytes());
        digest.update(b" ");
        digest.update(path.as_os_str().as_encoded_bytes());
        digest.update(b"\n");
    }
    data_encoding::HEXLOWER.encode(digest.finish().as_ref())
}

/// Metro knows files by their SHA-1.
fn sha1(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_are_written() {
        let answer = |text: &str| serde_json::from_str::<Answer>(text);
        let built = answer(r#"{"id": 3, "ended": "built", "proof": "ab"}"#).unwrap();
        assert!(built.id == 3 && matches!(built.end, End::Built { proof } if proof == "ab"));
        let failed = answer(r#"{"id": 4, "ended": "failed"}"#).unwrap();
        assert!(matches!(failed.end, End::Failed));
        assert!(answer(r#"{"id": 4, "ended": "else"}"#).is_err());
        assert!(answer("{").is_err());
    }

    #[test]
    fn the_proof_tells_contents_paths_and_what_is_gone_apart() {
        let of = |path: &'static str, bytes: Option<&[u8]>| {
            proof(std::iter::once((
                Path::new(path),
                bytes.map(<[u8]>::to_vec),
            )))
        };
        // printf '%s a\n' "$(printf x | sha1sum | cut -d' ' -f1)" | sha1sum
        assert_eq!(of("a", Some(b"x")).len(), 40);
        assert_ne!(of("a", Some(b"x")), of("b", Some(b"x")));
        assert_ne!(of("a", Some(b"x")), of("a", Some(b"y")));
        assert_ne!(of("a", Some(b"-")), of("a", None));
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(reason("a\r\n== upload done"), "a  == upload done");
        assert_eq!(reason(&"é".repeat(1000)).chars().count(), REASON);
    }

    #[test]
    fn all_scripts_are_in_the_binary() {
        let dir = tempfile::tempdir().unwrap();
        let main = write(dir.path()).unwrap();
        let text = fs::read_to_string(main).unwrap();
        for name in ["expo", "react_native", "inputs"] {
            assert!(text.contains(&format!("./{name}.cjs")), "{name}");
            assert!(dir.path().join(format!("{name}.cjs")).is_file(), "{name}");
        }
        for name in ["metro", "programs", "shapes"] {
            assert!(dir.path().join(format!("{name}.cjs")).is_file(), "{name}");
        }
    }
}
