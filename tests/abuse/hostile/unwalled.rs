//! Without a sandbox a trusted project reaches what its user reaches; what it
//! may use up is bounded all the same.

use hivesync::config::SandboxChoice;

use super::{Level, using_up};

const LEVEL: Level = Level {
    set: |config| config.builds.sandbox = SandboxChoice::None,
    trusted: true,
};

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded() {
    using_up::memory(LEVEL, "hive-unwalled-memory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_bounded() {
    using_up::processes(LEVEL, "hive-unwalled-forks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_is_bounded() {
    using_up::disk(LEVEL, "hive-unwalled-disk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_is_bounded() {
    using_up::one_file(LEVEL, "hive-unwalled-file").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_bounded() {
    using_up::the_log(LEVEL).await;
}
