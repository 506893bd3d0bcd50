//! Nobody but `sources.rs` reads the environment.

use std::fs;
use std::path::Path;

/// Who else may, and the code that does: what belongs to the client or to the
/// system and is no setting of a server.
const OTHER_READERS: &[(&str, &str)] = &[
    ("src/cli/", "env = \"HIVESYNC_SERVER\""),
    ("src/cli/", "env = \"HIVESYNC_TOKEN_FILE\""),
    ("src/cli/connection.rs", "var(\"HIVESYNC_TOKEN\")"),
    // Where the client keeps its credentials: XDG_CONFIG_HOME, HOME.
    ("src/cli/login.rs", "var_os(name)"),
    ("src/cli/", "var_os(\"NO_COLOR\")"),
    // Where programs and the system's certificates are found, and the home
    // that no build shall see.
    ("src/bundle/sandbox/toolchain.rs", "var_os(\"HOME\")"),
    ("src/", "var_os(\"PATH\")"),
    ("src/git/", "var_os(\"SSL_CERT_FILE\")"),
    // What the canary must find cleared, or be kept from.
    ("src/bundle/sandbox/launcher/canary.rs", "env::var_os"),
    // What the server has told a warden to tell the build.
    ("src/bundle/sandbox/launcher/warden.rs", "env::vars_os()"),
    // No release build has this file.
    ("src/stop_points.rs", "env::var(VARIABLE)"),
];

#[test]
fn nobody_else_reads_the_environment() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut strangers = Vec::new();
    for entry in ignore::Walk::new(root.join("src")) {
        let path = entry.unwrap().into_path();
        let place = path
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if path.extension().is_none_or(|ext| ext != "rs") || place.starts_with("src/config/") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines() {
            let reads = ["env::var", "option_env!", "env = \""]
                .iter()
                .any(|reader| line.contains(reader));
            let allowed = OTHER_READERS
                .iter()
                .any(|(folder, code)| place.starts_with(folder) && line.contains(code));
            if reads && !allowed {
                strangers.push(format!("{place}: {}", line.trim()));
            }
        }
    }
    assert!(
        strangers.is_empty(),
        "settings are read in src/config/sources.rs only:\n{}",
        strangers.join("\n")
    );
}
