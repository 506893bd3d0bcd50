//! Whose turn it is.

use std::time::Duration;

use hivesync::domain::JobId;
use hivesync::domain::job::{NewJob, Priority, Queue};
use hivesync::store::{Batch, ClaimRequest};

use crate::subject::{LEASE, START, Subject, builds, job, job_id, limited};

fn in_group(number: u64, group: i64) -> NewJob {
    NewJob {
        group,
        ..job(number)
    }
}

async fn drain(subject: &Subject) -> Vec<JobId> {
    let mut order = Vec::new();
    while let Some(id) = subject.claim_id().await {
        order.push(id);
    }
    order
}

fn ids(numbers: &[u64]) -> Vec<JobId> {
    numbers.iter().map(|number| job_id(*number)).collect()
}

pub(super) async fn places_are_first_in_first_out(subject: &Subject) {
    for number in [5, 3, 9, 1] {
        subject.enqueue(job(number)).await;
    }
    assert_eq!(drain(subject).await, ids(&[5, 3, 9, 1]));
}

pub(super) async fn urgent_jobs_go_first(subject: &Subject) {
    let priorities = [
        Priority::LOW,
        Priority::NORMAL,
        Priority::HIGH,
        Priority(0),
        Priority(255),
        Priority::HIGH,
    ];
    for (number, priority) in (1..).zip(priorities) {
        let new = NewJob {
            priority,
            ..job(number)
        };
        subject.enqueue(new).await;
    }
    assert_eq!(drain(subject).await, ids(&[4, 3, 6, 2, 1, 5]));
}

pub(super) async fn groups_take_turns(subject: &Subject) {
    for (number, group) in (1..).zip([7, 7, 7, 3, 3, 5]) {
        subject.enqueue(in_group(number, group)).await;
    }
    // First those never served, as they came; then who was served longest ago.
    assert_eq!(drain(subject).await, ids(&[1, 4, 6, 2, 5, 3]));
    // A group that was away keeps its turn; a new one goes before all served.
    for (number, group) in (7..).zip([7, 5, 3, 9]) {
        subject.enqueue(in_group(number, group)).await;
    }
    assert_eq!(drain(subject).await, ids(&[10, 8, 9, 7]));
    // Turns hold across priorities.
    subject.enqueue(in_group(11, 7)).await;
    subject.enqueue(in_group(12, 5)).await;
    let urgent = NewJob {
        priority: Priority::HIGH,
        ..in_group(13, 5)
    };
    subject.enqueue(urgent).await;
    assert_eq!(drain(subject).await, ids(&[13, 11, 12]));
}

pub(super) async fn a_flood_does_not_starve_others(subject: &Subject) {
    for number in 1..=100 {
        subject.enqueue(in_group(number, 1)).await;
    }
    subject.claim().await.unwrap();
    subject.enqueue(in_group(101, 2)).await;
    assert_eq!(subject.claim_id().await, Some(job_id(101)));
    subject.enqueue(in_group(102, 2)).await;
    assert_eq!(subject.claim_id().await, Some(job_id(2)));
    assert_eq!(subject.claim_id().await, Some(job_id(102)));
}

pub(super) async fn turns_count_within_a_queue(subject: &Subject) {
    for (number, group) in [(1, 1), (2, 2)] {
        subject.enqueue(in_group(number, group)).await;
    }
    drain(subject).await;
    let sync = NewJob {
        queue: Queue::Sync,
        ..in_group(3, 1)
    };
    subject.enqueue(sync).await;
    let syncs = ClaimRequest {
        queues: vec![Queue::Sync],
        ..builds()
    };
    subject.queue.claim(&syncs).await.unwrap().unwrap();
    subject.enqueue(in_group(5, 2)).await;
    subject.enqueue(in_group(4, 1)).await;
    assert_eq!(drain(subject).await, ids(&[4, 5]));
}

pub(super) async fn a_group_is_limited(subject: &Subject) {
    for (number, group) in (1..).zip([1, 1, 1, 2]) {
        subject.enqueue(in_group(number, group)).await;
    }
    let claim = async |limit| {
        let claimed = subject.queue.claim(&limited(limit)).await.unwrap();
        claimed.map(|(claim, _)| claim)
    };
    let first = claim(1).await.unwrap();
    assert_eq!(first.job, job_id(1));
    assert_eq!(claim(1).await.unwrap().job, job_id(4));
    assert_eq!(claim(1).await, None);
    assert_eq!(claim(2).await.unwrap().job, job_id(2));
    assert_eq!(claim(2).await, None);
    subject.queue.complete(&first, Batch::new()).await.unwrap();
    assert_eq!(claim(1).await, None);
    assert_eq!(claim(2).await.unwrap().job, job_id(3));
    // Another queue of the same project has its own room.
    let sync = NewJob {
        queue: Queue::Sync,
        ..in_group(5, 1)
    };
    subject.enqueue(sync).await;
    let syncs = ClaimRequest {
        queues: vec![Queue::Sync],
        ..limited(1)
    };
    assert!(subject.queue.claim(&syncs).await.unwrap().is_some());
}

pub(super) async fn the_server_itself_is_not_limited(subject: &Subject) {
    for number in 1..=3 {
        subject.enqueue(in_group(number, 0)).await;
    }
    for number in 1..=3 {
        let claimed = subject.queue.claim(&limited(1)).await.unwrap();
        assert_eq!(claimed.unwrap().0.job, job_id(number));
    }
}

pub(super) async fn queues_are_emptied_in_the_order_asked(subject: &Subject) {
    let queues = [
        Queue::Cleanup,
        Queue::PreviewBuild,
        Queue::Sync,
        Queue::PreviewBuild,
    ];
    for (number, queue) in (1..).zip(queues) {
        let new = NewJob {
            queue,
            priority: if queue == Queue::Cleanup {
                Priority::HIGH
            } else {
                Priority::LOW
            },
            ..job(number)
        };
        subject.enqueue(new).await;
    }
    let request = ClaimRequest {
        queues: vec![Queue::PreviewBuild, Queue::Sync, Queue::Cleanup],
        ..builds()
    };
    let mut order = Vec::new();
    while let Some((claim, _)) = subject.queue.claim(&request).await.unwrap() {
        order.push(claim.job);
    }
    assert_eq!(order, ids(&[2, 4, 3, 1]));
}

pub(super) async fn delayed_jobs_wait_for_their_time(subject: &Subject) {
    let minute = Duration::from_mins(1);
    for (number, minutes) in [(1, 3), (2, 1), (3, 0), (4, 2)] {
        let new = NewJob {
            run_at: (minutes > 0).then(|| START.after(minute * minutes)),
            ..job(number)
        };
        subject.enqueue(new).await;
    }
    assert_eq!(drain(subject).await, ids(&[3]));
    subject
        .clock
        .set(START.after(minute).before(Duration::from_millis(1)));
    let renewed = ClaimRequest {
        lease: LEASE * 100,
        ..builds()
    };
    // The lease of the third job has ended by now.
    assert!(subject.queue.claim(&renewed).await.unwrap().is_some());
    assert_eq!(subject.queue.claim(&renewed).await.unwrap(), None);
    subject.clock.advance(Duration::from_millis(1));
    assert_eq!(subject.claim_id().await, Some(job_id(2)));
    // Those due together go by their places, not by their times.
    subject.clock.set(START.after(minute * 4));
    let mut order = Vec::new();
    while let Some((claim, _)) = subject.queue.claim(&renewed).await.unwrap() {
        order.push(claim.job);
    }
    assert_eq!(order, ids(&[1, 2, 4]));
}

pub(super) async fn a_due_job_stays_due_when_the_clock_is_set_back(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let soon = NewJob {
        run_at: Some(START.after(LEASE)),
        ..job(2)
    };
    subject.enqueue(soon).await;
    subject.clock.set(START.before(Duration::from_hours(1)));
    assert_eq!(subject.claim_id().await, Some(job_id(1)));
    assert_eq!(subject.claim_id().await, None);
}
