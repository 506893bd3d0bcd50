//! Previews and their listings.

use std::time::Duration;

use hivesync::domain::preview::{Platform, Preview, PreviewStatus};
use hivesync::domain::{ProjectId, UserId};
use hivesync::error::Code;
use hivesync::store::batch::RecordKey;
use hivesync::store::{Batch, Cursor, Expect, Page, PreviewFilter, Record};

use crate::subject::{START, Subject, assert_code, job_id, preview};

const STATUSES: [PreviewStatus; 4] = [
    PreviewStatus::Queued,
    PreviewStatus::Bundling,
    PreviewStatus::Success,
    PreviewStatus::Failed,
];
const PLATFORMS: [Platform; 3] = [Platform::Ios, Platform::Android, Platform::Web];

/// Previews that differ in everything a filter looks at.
fn varied(count: u64) -> Vec<Preview> {
    let mut all = Vec::new();
    for number in 1..=count {
        let index = usize::try_from(number).unwrap();
        let mut one = preview(number, 1 + i64::try_from(number % 2).unwrap());
        one.requested_by = UserId(1 + i64::try_from(number % 3).unwrap());
        one.status = STATUSES[index % 4];
        one.platform = PLATFORMS[index / 2 % 3];
        // Several have the same time: their ids decide.
        one.created_at = START.after(Duration::from_secs(number / 3));
        all.push(one);
    }
    all
}

async fn put_all(subject: &Subject, previews: &[Preview]) {
    for preview in previews {
        subject.put(Record::Preview(preview.clone())).await.unwrap();
    }
}

/// Every page of a listing.
async fn walk(subject: &Subject, filter: &PreviewFilter, limit: usize) -> Vec<Preview> {
    let mut page = Page::first(limit);
    let mut all = Vec::new();
    loop {
        let found = subject.store.previews(filter, &page).await.unwrap();
        assert!(found.items.len() <= limit);
        assert!(found.next.is_none() || found.items.len() == limit);
        all.extend(found.items);
        page.cursor = found.next;
        if page.cursor.is_none() {
            return all;
        }
    }
}

fn filters() -> Vec<PreviewFilter> {
    let mut all = Vec::new();
    for project in [None, Some(ProjectId(2))] {
        for user in [None, Some(UserId(3))] {
            for status in [None, Some(PreviewStatus::Success)] {
                for platform in [None, Some(Platform::Android)] {
                    for since in [None, Some(START.after(Duration::from_secs(6)))] {
                        all.push(PreviewFilter {
                            unasked: false,
                            project,
                            user,
                            status,
                            platform,
                            since,
                        });
                    }
                }
            }
        }
    }
    all
}

pub(super) async fn previews_are_filtered(subject: &Subject) {
    let previews = varied(48);
    put_all(subject, &previews).await;
    for filter in filters() {
        let mut expected: Vec<_> = previews
            .iter()
            .filter(|preview| filter.admits(preview))
            .cloned()
            .collect();
        expected.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        assert_eq!(walk(subject, &filter, 5).await, expected, "{filter:?}");
        assert_eq!(walk(subject, &filter, 200).await, expected, "{filter:?}");
    }
    let future = PreviewFilter {
        since: Some(START.after(Duration::from_hours(1))),
        ..PreviewFilter::default()
    };
    assert!(walk(subject, &future, 5).await.is_empty());
}

pub(super) async fn preview_pages_are_stable(subject: &Subject) {
    for number in 1..=6 {
        put_all(subject, &[preview(number, 1)]).await;
    }
    let filter = PreviewFilter::default();
    let mut page = Page::first(2);
    let first = subject.store.previews(&filter, &page).await.unwrap();
    // Neither newer previews nor the loss of the last one seen moves the rest.
    put_all(subject, &[preview(7, 1)]).await;
    let seen = RecordKey::Preview(first.items[1].id.clone());
    let delete = Batch::new().delete(seen, Expect::Any);
    subject.store.commit(delete).await.unwrap();
    page.cursor = first.next;
    let second = subject.store.previews(&filter, &page).await.unwrap();
    assert_eq!(second.items, [preview(4, 1), preview(3, 1)]);
    // A cursor is good in the form that clients hold it.
    let text = second.next.unwrap().encode();
    page.cursor = Some(Cursor::decode(&text).unwrap());
    let third = subject.store.previews(&filter, &page).await.unwrap();
    assert_eq!(third.items, [preview(2, 1), preview(1, 1)]);
    assert_eq!(third.next, None);
}

pub(super) async fn a_status_moves_between_listings(subject: &Subject) {
    let mut one = preview(1, 1);
    put_all(subject, &[one.clone(), preview(2, 1)]).await;
    one.status = PreviewStatus::Failed;
    put_all(subject, &[one.clone()]).await;
    let with = |status| PreviewFilter {
        status: Some(status),
        ..PreviewFilter::default()
    };
    let failed = walk(subject, &with(PreviewStatus::Failed), 5).await;
    assert_eq!(failed, [one]);
    let queued = walk(subject, &with(PreviewStatus::Queued), 5).await;
    assert_eq!(queued, [preview(2, 1)]);
    assert_eq!(walk(subject, &PreviewFilter::default(), 5).await.len(), 2);
}

pub(super) async fn previews_are_found_by_token_and_build_key(subject: &Subject) {
    let mut older = preview(1, 1);
    let mut newer = preview(2, 1);
    older.status = PreviewStatus::Failed;
    older.build_key = "same".into();
    newer.build_key = "same".into();
    put_all(subject, &[newer.clone(), older.clone(), preview(3, 1)]).await;
    let found = subject.store.preview_by_build_key("same").await.unwrap();
    assert_eq!(found.unwrap().value, newer);
    let found = subject.store.preview_by_build_key("sam").await.unwrap();
    assert_eq!(found, None);

    let token = |preview| Record::PreviewToken {
        digest: "d".repeat(64),
        preview,
    };
    let bind = Batch::new().put(token(job_id(1)), Expect::Absent);
    subject.store.commit(bind).await.unwrap();
    let again = Batch::new().put(token(job_id(2)), Expect::Absent);
    assert_code(subject.store.commit(again).await, Code::Conflict);
    let found = subject.store.preview_by_token(&"d".repeat(64)).await;
    assert_eq!(found.unwrap(), Some(job_id(1)));
    let found = subject.store.preview_by_token(&"e".repeat(64)).await;
    assert_eq!(found.unwrap(), None);
}

pub(super) async fn one_build_key_is_under_way_once(subject: &Subject) {
    let mut first = preview(1, 1);
    let mut second = preview(2, 1);
    first.build_key = "same".into();
    second.build_key = "same".into();
    let put = |preview: &Preview| {
        let record = Record::Preview(preview.clone());
        subject.store.commit(Batch::new().put(record, Expect::Any))
    };
    put(&first).await.unwrap();
    assert_code(put(&second).await, Code::Conflict);
    first.status = PreviewStatus::Bundling;
    put(&first).await.unwrap();
    assert_code(put(&second).await, Code::Conflict);
    // One that has ended stands in nobody's way, and waits its turn itself.
    first.status = PreviewStatus::Failed;
    put(&first).await.unwrap();
    put(&second).await.unwrap();
    first.status = PreviewStatus::Queued;
    assert_code(put(&first).await, Code::Conflict);
    first.status = PreviewStatus::Cancelled;
    put(&first).await.unwrap();
}

pub(super) async fn what_nobody_asked_for_is_listed_on_demand(subject: &Subject) {
    let mut ahead = preview(1, 1);
    ahead.requested_by = UserId::SERVER;
    put_all(subject, &[ahead.clone(), preview(2, 1)]).await;
    let listed = async |unasked, status| {
        let filter = PreviewFilter {
            unasked,
            status,
            ..PreviewFilter::default()
        };
        let page = Page::first(10);
        let found = subject.store.previews(&filter, &page).await.unwrap();
        found.items.len()
    };
    for status in [None, Some(PreviewStatus::Queued)] {
        assert_eq!(listed(false, status).await, 1);
        assert_eq!(listed(true, status).await, 2);
    }
    // It is found where builds are decided, and once it is asked for.
    let found = subject.store.preview_by_build_key("key 1").await.unwrap();
    assert_eq!(found.unwrap().value, ahead);
    ahead.requested_by = UserId(5);
    put_all(subject, &[ahead]).await;
    assert_eq!(listed(false, None).await, 2);
}

pub(super) async fn a_branch_is_built_at_one_commit(subject: &Subject) {
    let older = preview(1, 1);
    let mut newer = preview(2, 1);
    newer.commit = "1".repeat(40);
    let put =
        |batch: Batch, preview: &Preview| batch.put(Record::Preview(preview.clone()), Expect::Any);
    let alone = |preview: &Preview| subject.store.commit(put(Batch::new(), preview));
    alone(&older).await.unwrap();
    assert_code(alone(&newer).await, Code::Conflict);
    assert_eq!(subject.store.preview(&newer.id).await.unwrap(), None);
    // Another platform, branch, project, none at all, or the same commit.
    for (number, change) in [
        (3, (|p| p.platform = Platform::Web) as fn(&mut Preview)),
        (4, |p| p.branch = Some("other".to_owned())),
        (5, |p| p.project_id = ProjectId(2)),
        (6, |p| p.branch = None),
        (7, |p| p.commit = "0".repeat(40)),
    ] {
        let mut other = newer.clone();
        other.id = preview(number, 1).id;
        other.build_key = format!("key {number}");
        change(&mut other);
        alone(&other).await.unwrap();
        other.status = PreviewStatus::Cancelled;
        alone(&other).await.unwrap();
    }
    // The batch that begins the one may end the other.
    let mut ended = older.clone();
    ended.status = PreviewStatus::Cancelled;
    let both = put(put(Batch::new(), &ended), &newer);
    subject.store.commit(both).await.unwrap();
    // An older one that is begun again by hand is somebody's wish.
    alone(&older).await.unwrap();
    for left in [older, newer] {
        let ended = Preview {
            status: PreviewStatus::Failed,
            ..left
        };
        alone(&ended).await.unwrap();
    }
}

pub(super) async fn active_previews_are_those_not_final(subject: &Subject) {
    let previews = varied(24);
    put_all(subject, &previews).await;
    for project in [ProjectId(1), ProjectId(2), ProjectId(3)] {
        let mut found = subject.store.active_previews(project).await.unwrap();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        let expected: Vec<_> = previews
            .iter()
            .filter(|p| p.project_id == project && !p.status.is_final())
            .cloned()
            .collect();
        assert_eq!(found, expected);
    }
}

pub(super) async fn deleted_previews_leave_no_trace(subject: &Subject) {
    put_all(subject, &[preview(1, 1), preview(2, 1)]).await;
    let delete = || Batch::new().delete(RecordKey::Preview(job_id(1)), Expect::Revision(1));
    subject.store.commit(delete()).await.unwrap();
    assert_code(subject.store.commit(delete()).await, Code::Conflict);
    assert_eq!(subject.store.preview(&job_id(1)).await.unwrap(), None);
    let found = subject.store.preview_by_build_key("key 1").await.unwrap();
    assert_eq!(found, None);
    for filter in filters() {
        let found = walk(subject, &filter, 5).await;
        assert!(found.iter().all(|preview| preview.id == job_id(2)));
    }
    let active = subject.store.active_previews(ProjectId(1)).await.unwrap();
    assert_eq!(active, [preview(2, 1)]);
}

pub(super) async fn foreign_cursors_are_refused(subject: &Subject) {
    let page = |bytes: &[u8]| Page {
        limit: 5,
        cursor: Some(Cursor(bytes.to_vec())),
    };
    let store = &subject.store;
    assert_code(store.users(&page(b"abc")).await, Code::BadRequest);
    assert_code(
        store.projects_for(UserId(1), &page(b"")).await,
        Code::BadRequest,
    );
    let filter = PreviewFilter::default();
    for bytes in [&b"abc"[..], b"\0\0\0\0\0\0\0\0\xff\xff"] {
        let outcome = store.previews(&filter, &page(bytes)).await;
        assert_code(outcome, Code::BadRequest);
    }
    assert_code(Cursor::decode("not base64!"), Code::BadRequest);
}

pub(super) async fn page_sizes_are_bounded(subject: &Subject) {
    put_all(subject, &varied(3)).await;
    let filter = PreviewFilter::default();
    let found = subject.store.previews(&filter, &Page::first(0)).await;
    assert_eq!(found.unwrap().items.len(), 1);
    let found = subject
        .store
        .previews(&filter, &Page::first(usize::MAX))
        .await;
    assert_eq!(found.unwrap().items.len(), 3);
}
