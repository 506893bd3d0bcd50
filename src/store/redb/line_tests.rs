//! Workers in line on a clock that moves while they are served.

use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use tempfile::TempDir;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::domain::JobId;
use crate::domain::job::{NewJob, Priority, Queue};
use crate::store::{Batch, ClaimRequest, JobQueue, MetaStore};

/// A millisecond goes by whenever somebody looks.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

fn from(queue: Queue) -> ClaimRequest {
    ClaimRequest {
        queues: vec![queue],
        worker: "worker".to_owned(),
        lease: Duration::from_hours(1),
        group_limit: u32::MAX,
    }
}

/// Whatever the reading of the clock at which a job's time comes, its worker
/// is given it: also when that reading is the one of another worker, who came
/// into line after it.
#[tokio::test]
async fn a_job_that_is_due_while_others_are_served_is_given_to_its_worker() {
    for delay in (4..14).cycle().take(40) {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(Ticking(AtomicI64::new(1_000_000)));
        let store = RedbStore::open(&folder.path().join("db"), clock.clone()).unwrap();
        let (builds, syncs) = (from(Queue::PreviewBuild), from(Queue::Sync));
        let mut waiting = pin!(store.next(&builds));
        assert!(waiting.as_mut().now_or_never().is_none());
        let id: JobId = format!("job_{}", "a".repeat(26)).parse().unwrap();
        let job = NewJob {
            id: id.clone(),
            queue: Queue::PreviewBuild,
            kind: "preview".to_owned(),
            payload: "{}".to_owned(),
            priority: Priority::NORMAL,
            group: 0,
            dedupe_key: None,
            run_at: Some(clock.now().after(Duration::from_millis(delay))),
            max_attempts: 1,
        };
        store.commit(Batch::new().enqueue(job)).await.unwrap();
        let mut other = pin!(store.next(&syncs));
        assert!(other.as_mut().now_or_never().is_none());
        let deadline = Duration::from_secs(20);
        let (claim, _) = tokio::time::timeout(deadline, waiting)
            .await
            .unwrap_or_else(|_| panic!("the job that was due after {delay} ms lies there"))
            .unwrap();
        assert_eq!(claim.job, id);
    }
}
