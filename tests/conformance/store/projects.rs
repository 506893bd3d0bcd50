//! Projects and their members.

use hivesync::domain::{ProjectId, UserId};
use hivesync::error::Code;
use hivesync::store::batch::RecordKey;
use hivesync::store::{Batch, Expect, Page, Record};

use crate::subject::{Subject, assert_code, member, project};

async fn listed(subject: &Subject, user: i64) -> Vec<i64> {
    let found = subject
        .store
        .projects_for(UserId(user), &Page::default())
        .await
        .unwrap();
    found.items.iter().map(|project| project.id.0).collect()
}

pub(super) async fn projects_are_listed_newest_first(subject: &Subject) {
    for id in 1..=5 {
        let owner = if id == 3 { 2 } else { 1 };
        subject
            .put(Record::Project(project(id, owner)))
            .await
            .unwrap();
    }
    subject.put(Record::Member(member(3, 1))).await.unwrap();
    assert_eq!(listed(subject, 1).await, [5, 4, 3, 2, 1]);
    assert_eq!(listed(subject, 2).await, [3]);

    let mut page = Page::first(2);
    let first = subject.store.projects_for(UserId(1), &page).await.unwrap();
    subject.put(Record::Project(project(6, 1))).await.unwrap();
    page.cursor = first.next;
    let second = subject.store.projects_for(UserId(1), &page).await.unwrap();
    let ids: Vec<_> = second.items.iter().map(|project| project.id.0).collect();
    assert_eq!(ids, [3, 2]);

    let leave = RecordKey::Member(ProjectId(3), UserId(1));
    let leave = Batch::new().delete(leave, Expect::Revision(1));
    subject.store.commit(leave).await.unwrap();
    assert_eq!(listed(subject, 1).await, [6, 5, 4, 2, 1]);
}

pub(super) async fn a_project_changes_hands(subject: &Subject) {
    subject.put(Record::Project(project(1, 1))).await.unwrap();
    subject.put(Record::Project(project(1, 2))).await.unwrap();
    assert!(listed(subject, 1).await.is_empty());
    assert_eq!(listed(subject, 2).await, [1]);
    let give_back = Batch::new()
        .put(Record::Member(member(1, 2)), Expect::Absent)
        .put(Record::Project(project(1, 1)), Expect::Revision(2));
    subject.store.commit(give_back).await.unwrap();
    assert_eq!(listed(subject, 1).await, [1]);
    assert_eq!(listed(subject, 2).await, [1]);
    // An owner who is a member too stays the owner without the membership.
    subject.put(Record::Member(member(1, 1))).await.unwrap();
    let leave = RecordKey::Member(ProjectId(1), UserId(1));
    let leave = Batch::new().delete(leave, Expect::Any);
    subject.store.commit(leave).await.unwrap();
    assert_eq!(listed(subject, 1).await, [1]);
}

pub(super) async fn a_member_needs_a_project(subject: &Subject) {
    let orphan = subject.put(Record::Member(member(1, 2))).await;
    assert_code(orphan, Code::ProjectNotFound);
    let together = Batch::new()
        .put(Record::Member(member(1, 2)), Expect::Absent)
        .put(Record::Project(project(1, 1)), Expect::Absent);
    subject.store.commit(together).await.unwrap();
    let apart = Batch::new()
        .put(Record::Member(member(1, 3)), Expect::Absent)
        .delete(RecordKey::Project(ProjectId(1)), Expect::Any);
    assert_code(subject.store.commit(apart).await, Code::ProjectNotFound);
    assert_eq!(listed(subject, 2).await, [1]);
}

pub(super) async fn members_are_paged_by_user(subject: &Subject) {
    subject.put(Record::Project(project(1, 1))).await.unwrap();
    subject.put(Record::Project(project(2, 1))).await.unwrap();
    for user in [9, 3, 7, 5] {
        subject.put(Record::Member(member(1, user))).await.unwrap();
    }
    subject.put(Record::Member(member(2, 4))).await.unwrap();
    let mut page = Page::first(3);
    let first = subject.store.members(ProjectId(1), &page).await.unwrap();
    assert_eq!(first.items, [member(1, 3), member(1, 5), member(1, 7)]);
    page.cursor = first.next;
    let rest = subject.store.members(ProjectId(1), &page).await.unwrap();
    assert_eq!((rest.items, rest.next), (vec![member(1, 9)], None));
    let found = subject.store.member(ProjectId(1), UserId(5)).await;
    assert_eq!(found.unwrap(), Some(member(1, 5)));
    let found = subject.store.member(ProjectId(2), UserId(5)).await;
    assert_eq!(found.unwrap(), None);
}

pub(super) async fn deleting_a_project_takes_its_members(subject: &Subject) {
    for id in [1, 2] {
        subject.put(Record::Project(project(id, 1))).await.unwrap();
        subject.put(Record::Member(member(id, 2))).await.unwrap();
    }
    let delete = Batch::new().delete(RecordKey::Project(ProjectId(1)), Expect::Revision(1));
    subject.store.commit(delete).await.unwrap();
    assert_eq!(listed(subject, 1).await, [2]);
    assert_eq!(listed(subject, 2).await, [2]);
    let left = subject.store.members(ProjectId(1), &Page::default()).await;
    assert!(left.unwrap().items.is_empty());
}
