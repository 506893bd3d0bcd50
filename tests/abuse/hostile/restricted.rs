//! Under `restricted` a build shares processes and network with the machine by
//! name only: nothing of either is within reach, and every limit holds.

use hivesync::config::SandboxChoice;

use super::{Level, hiding, reaching, using_up};

const LEVEL: Level = Level {
    set: |config| config.builds.sandbox = SandboxChoice::Restricted,
    trusted: false,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_build_script_reaches_nothing() {
    reaching::from_the_build_script(LEVEL, "restricted-script").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundlers_configuration_reaches_nothing() {
    reaching::from_the_bundlers_configuration(LEVEL, "restricted-config").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_script_reaches_nothing() {
    reaching::from_the_install_script(LEVEL, "restricted-install").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_bundler_reaches_nothing() {
    reaching::from_a_warm_bundler(LEVEL, "restricted-warm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded() {
    using_up::memory(LEVEL, "hive-restricted-memory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_for_all_processes_together() {
    using_up::memory_of_many(LEVEL, "hive-restricted-many").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_bounded() {
    using_up::processes(LEVEL, "hive-restricted-forks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_is_bounded() {
    using_up::disk(LEVEL, "hive-restricted-disk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_files_are_bounded() {
    using_up::empty_files(LEVEL, "hive-restricted-empty").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nesting_is_bounded() {
    using_up::nesting(LEVEL, "hive-restricted-nested").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_is_bounded() {
    using_up::one_file(LEVEL, "hive-restricted-file").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_bounded() {
    using_up::the_log(LEVEL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_is_bounded() {
    hiding::is_bounded(LEVEL, "hive-restricted-hiding").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_counted_is_refused() {
    hiding::what_cannot_be_counted_is_refused(LEVEL).await;
}
