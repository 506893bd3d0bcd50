//! Everything a store can be asked, as text.

use hivesync::domain::job::Queue;
use hivesync::domain::preview::{Platform, PreviewStatus};
use hivesync::domain::{ProjectId, UserId};
use hivesync::store::{Page, PreviewFilter};

use super::operation::{IDS, JOBS, NAMES};
use crate::subject::{Subject, job_id};

pub(super) async fn snapshot(subject: &Subject) -> Vec<String> {
    let mut lines = Vec::new();
    accounts(subject, &mut lines).await;
    projects(subject, &mut lines).await;
    previews(subject, &mut lines).await;
    jobs(subject, &mut lines).await;
    lines
}

/// Notes what is there, so that a difference shows which question it answers.
macro_rules! note {
    ($lines:ident, $store:ident.$question:ident($($argument:expr),*)) => {
        let answer = $store.$question($($argument),*).await.unwrap();
        $lines.push(format!(
            concat!(stringify!($question), " {:?}: {:?}"), ($(&$argument,)*), answer
        ));
    };
}

async fn accounts(subject: &Subject, lines: &mut Vec<String>) {
    let store = &subject.store;
    note!(lines, store.users(&Page::first(2)));
    note!(lines, store.has_admin());
    for name in NAMES {
        note!(lines, store.user_by_login(name));
        note!(lines, store.user_by_login(&format!("{name}@example.com")));
        note!(lines, store.search_users(&name[..1], 2));
        note!(lines, store.session(name));
    }
    for id in IDS {
        note!(lines, store.user(UserId(id)));
        note!(lines, store.sessions_of(UserId(id)));
        note!(lines, store.api_token(id));
        note!(lines, store.api_token_by_digest(&format!("{id}")));
        note!(lines, store.api_tokens_of(UserId(id), &Page::first(2)));
    }
}

async fn projects(subject: &Subject, lines: &mut Vec<String>) {
    let store = &subject.store;
    for id in IDS {
        note!(lines, store.project(ProjectId(id)));
        note!(lines, store.members(ProjectId(id), &Page::first(2)));
        note!(lines, store.projects_for(UserId(id), &Page::first(2)));
        for user in IDS {
            note!(lines, store.member(ProjectId(id), UserId(user)));
        }
    }
}

async fn previews(subject: &Subject, lines: &mut Vec<String>) {
    let store = &subject.store;
    for id in JOBS {
        note!(lines, store.preview(&job_id(id)));
    }
    for id in IDS {
        note!(lines, store.preview_by_token(&format!("{id}")));
        note!(lines, store.preview_by_build_key(&format!("key {id}")));
        let mut active = store.active_previews(ProjectId(id)).await.unwrap();
        active.sort_by(|a, b| a.id.cmp(&b.id));
        lines.push(format!("active {id}: {active:?}"));
        for status in [None, Some(PreviewStatus::Success)] {
            for platform in [None, Some(Platform::Web)] {
                let everywhere = PreviewFilter {
                    status,
                    platform,
                    ..PreviewFilter::default()
                };
                let in_project = PreviewFilter {
                    project: Some(ProjectId(id)),
                    ..everywhere.clone()
                };
                note!(lines, store.previews(&everywhere, &Page::first(3)));
                note!(lines, store.previews(&in_project, &Page::first(3)));
            }
        }
    }
}

async fn jobs(subject: &Subject, lines: &mut Vec<String>) {
    let (store, queue) = (&subject.store, &subject.queue);
    for id in JOBS {
        note!(lines, store.job(&job_id(id)));
    }
    for of in Queue::ALL {
        note!(lines, queue.stats(of));
    }
}
