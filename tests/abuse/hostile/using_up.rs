//! Projects that use up what they can get. The limits are set far below what
//! the machine has, and each project stops by itself not far above them: a
//! test that fails must not take the machine with it.

use hivesync::config::BuildLimits;
use hivesync::domain::preview::Platform;

use super::canaries::alive;
use super::{Level, assert_others_build};
use crate::builder::Tree;

pub(super) const MB: u64 = 1 << 20;

/// Builds `tree` under limits that `set` has lowered; it must be killed for
/// the one that `setting` names, as must all that it has started, while others
/// build. `marker` names its processes.
pub(super) async fn killed_for(
    level: Level,
    set: impl FnOnce(&mut BuildLimits),
    tree: &Tree,
    setting: &str,
    marker: &str,
) {
    let builder = level.server(|config| set(&mut config.builds.limits)).await;
    let project = level.project(&builder).await;
    let commit = builder.upload(project, tree).await;
    let id = builder.request(project, &commit, Platform::Web).await;
    assert_others_build(&builder, level).await;
    let preview = builder.ended(&id).await;
    let log = builder.log(&id);
    let error = preview
        .error
        .unwrap_or_else(|| panic!("it went through:\n{log}"));
    assert_eq!(error.code, "PREVIEW_BUILD_FAILED", "{}", error.message);
    assert!(error.message.contains(setting), "{}\n{log}", error.message);
    assert!(error.message.contains("killed"), "{}", error.message);
    assert!(log.contains(&error.message), "{log}");
    assert!(preview.bundle.is_none() && !preview.timed_out);
    assert_eq!(alive(marker), Vec::<String>::new());
    assert_others_build(&builder, level).await;
    builder.stop().await;
}

/// The marker stands in every command line of the script.
fn marked(script: &str, marker: &str) -> Tree {
    Tree::script(&script.replace("MARKER", marker))
}

pub(super) const MEMORY: &str = r#"node -e "
const kept = [];
while (kept.length < 60) kept.push(Buffer.alloc(16 << 20, 1));
setTimeout(() => {}, 60000);
" MARKER"#;

pub(super) async fn memory(level: Level, marker: &str) {
    let set = |limits: &mut BuildLimits| limits.memory_bytes = 400 * MB;
    killed_for(
        level,
        set,
        &marked(MEMORY, marker),
        "BUILD_MEMORY_MB",
        marker,
    )
    .await;
}

/// Each process is small; it is their number that counts.
pub(super) async fn memory_of_many(level: Level, marker: &str) {
    let script = r#"for n in 1 2 3 4 5 6; do
  node -e "const kept = Buffer.alloc(100 << 20, 1); setTimeout(() => kept, 60000)" MARKER &
done
wait"#;
    let set = |limits: &mut BuildLimits| limits.memory_bytes = 400 * MB;
    killed_for(
        level,
        set,
        &marked(script, marker),
        "BUILD_MEMORY_MB",
        marker,
    )
    .await;
}

/// Half of them leave their parent and their session at once. A shell that the
/// kernel refuses a process ends; what it has started stays.
pub(super) const PROCESSES: &str = r"sh <<'END'
n=0
while [ $n -lt 400 ]; do
  n=$((n+1))
  sh -c 'sleep 60; :' MARKER > /dev/null 2>&1 &
  (setsid sh -c 'sleep 60; :' MARKER > /dev/null 2>&1 &)
done
END
exec sleep 60";

pub(super) async fn processes(level: Level, marker: &str) {
    let set = |limits: &mut BuildLimits| limits.processes = 120;
    killed_for(
        level,
        set,
        &marked(PROCESSES, marker),
        "BUILD_PROCESSES",
        marker,
    )
    .await;
}

pub(super) const DISK: &str = r"n=0
while [ $n -lt 40 ]; do
  n=$((n+1))
  head -c 8000000 /dev/zero > filler-$n
done
sleep 60";

pub(super) async fn disk(level: Level, marker: &str) {
    let set = |limits: &mut BuildLimits| limits.disk_bytes = 64 * MB;
    killed_for(level, set, &marked(DISK, marker), "BUILD_DISK_MB", marker).await;
}

/// They take no blocks, but a disk has only so many of them.
pub(super) async fn empty_files(level: Level, marker: &str) {
    let script = r#"node -e "
for (let n = 0; n < 8000; n++) require('fs').writeFileSync('empty-' + n, '');
setTimeout(() => {}, 60000);
" MARKER"#;
    let set = |limits: &mut BuildLimits| limits.disk_bytes = 20 * MB;
    killed_for(level, set, &marked(script, marker), "BUILD_DISK_MB", marker).await;
}

/// A walk by recursion through these would overflow the server's stack.
pub(super) async fn nesting(level: Level, marker: &str) {
    let script = r#"node -e "
for (let n = 0; n < 8000; n++) { require('fs').mkdirSync('d'); process.chdir('d'); }
" MARKER
echo nested"#;
    let set = |limits: &mut BuildLimits| limits.disk_bytes = 1024 * MB;
    killed_for(level, set, &marked(script, marker), "nested", marker).await;
}

pub(super) async fn one_file(level: Level, marker: &str) {
    let script = "exec head -c 60000000 /dev/zero > large";
    let set = |limits: &mut BuildLimits| limits.file_bytes = 16 * MB;
    killed_for(level, set, &marked(script, marker), "BUILD_FILE_MB", marker).await;
}

/// A gigabyte of lines, one line without end, and what is no text at all: the
/// log is cut and says so, and the build goes on.
pub(super) async fn the_log(level: Level) {
    let builder = level
        .server(|config| config.builds.limits.log_bytes = MB)
        .await;
    let project = level.project(&builder).await;
    let script = "head -c 3000000 /dev/urandom\n\
                  head -c 20000000 /dev/zero | tr '\\0' x\n\
                  yes 'the same line again and again' | head -c 1000000000\n\
                  mkdir dist && echo '<html>' > dist/index.html";
    let commit = builder.upload(project, &Tree::script(script)).await;
    let id = builder.request(project, &commit, Platform::Web).await;
    assert_others_build(&builder, level).await;
    let built = builder.success(&id).await;
    let length = built.log.len() as u64;
    assert!(length < MB + 4096, "{length} bytes");
    assert!(built.log.contains("(BUILD_LOG_MB): the rest is left out"));
    assert!(built.log.contains("\n== upload done "));
    builder.stop().await;
}
