//! The process dies, or its machine, at the worst moments.
//!
//! Which test holds which fault, here and elsewhere:
//!
//! | fault | tests |
//! |---|---|
//! | `kill -9` in a loop under load | `crash rounds`, `crash points::{before,after}_every_commit` |
//! | … while a build is asked for | `crash points::enqueue_{before,after}` |
//! | … between claim and spawn | `crash points::claim_after`, `checkout_after`, `build_spawned` |
//! | … after the build and before its end is written: one artifact | `crash points::{blob_after,complete_before}` |
//! | … while an ended build's folder is removed | `crash points::{ended_aside,recovery_sweep}` |
//! | … during the artifact's rename | `crash points::{package_before_rename,blob_before}` |
//! | … in an upload, a fetch, a cancel, a failure, a deletion, a soft stop | `crash points::{upload_*,sync_before,cancel_after,fail_*,purge_middle,release_before}` |
//! | a second and a third kill during recovery | `crash points::recovery_*`, and after each other point |
//! | no process outlives its server | `crash orphans`, and the end of every other test here |
//! | power lost, torn write | `store::redb::power_tests` |
//! | fsync error: fail, open again | `store::redb::{power_tests,faults_tests}` |
//! | … not ready meanwhile, and a restart recovers | `crash disk` |
//! | disk full in a commit | `store::redb::{power_tests,faults_tests}` |
//! | disk full in a build | `conformance blobs_on_disk`, `api disk`, `abuse hostile` |
//! | a flipped bit | `store::redb::codec`, `store::redb::power_tests`, `conformance redb_file` |
//! | a truncated database | `conformance redb_file`, `store::redb::power_tests` |
//! | a second process on the data folder | `cli bare`, `conformance redb_file` |
//! | SIGTERM drains | `cli crash`, `cli stopping` |
//! | a worker stopped past its lease: its late write is refused | `crash late`, `crash stopped`, `conformance queue::leases` |
//! | the clock jumps an hour, either way | `crash late`, `conformance queue::{leases,order}` |
//! | a job that kills its worker three times | `crash points::a_job_that_kills_…`, `conformance queue::leases` |
//! | 1,000 enqueues of one key | `conformance queue::dedupe` |
//! | a push during a build: exactly one more | `conformance queue::dedupe` |
//! | cancel races complete | `conformance queue::ends` |
//! | cancel kills a double-forked tree | `build endings` |
//! | retry storm: jitter, cap | `jobs::backoff` |
//! | a delayed job due while nothing ran | `conformance redb_file` |
//! | a flood does not starve others | `conformance queue::order` |
//! | an older and a newer record version | `store::redb::{codec,schema}` |

mod client;
#[path = "../common/mod.rs"]
mod common;
mod disk;
#[path = "../common/git_server.rs"]
mod git_server;
mod late;
mod ledger;
mod orphans;
mod points;
#[path = "../common/previews.rs"]
mod previews;
#[path = "../cli/process.rs"]
mod process;
mod rounds;
mod scenes;
mod server;
#[allow(dead_code, reason = "the tests of the command line use the rest")]
#[path = "../cli/client.rs"]
mod session;
#[path = "../common/sources.rs"]
mod sources;
mod stopped;
