//! Accounts, sessions, tokens and links.

use hivesync::domain::user::{LinkPurpose, OneTimeLink, Role};
use hivesync::domain::{ProjectId, UserId};
use hivesync::error::Code;
use hivesync::store::batch::RecordKey;
use hivesync::store::{Batch, Expect, Page, Record};

use crate::subject::{START, Subject, api_token, assert_code, member, project, session, user};

async fn add_users(subject: &Subject, names: &[&str]) {
    for (id, name) in (1..).zip(names) {
        subject.put(Record::User(user(id, name))).await.unwrap();
    }
}

pub(super) async fn emails_and_usernames_are_unique(subject: &Subject) {
    add_users(subject, &["ada"]).await;
    let mut same_email = user(2, "bob");
    same_email.email = "ADA@Example.com".into();
    let put = |user| Batch::new().put(Record::User(user), Expect::Any);
    assert_code(
        subject.store.commit(put(same_email)).await,
        Code::EmailTaken,
    );
    let mut same_name = user(2, "Ada");
    same_name.email = "other@example.com".into();
    assert_code(
        subject.store.commit(put(same_name.clone())).await,
        Code::UsernameTaken,
    );
    same_name.username = "bob".into();
    let mut twin = same_name.clone();
    twin.id = UserId(3);
    let both = put(same_name).put(Record::User(twin), Expect::Any);
    assert_code(subject.store.commit(both).await, Code::EmailTaken);
    assert_eq!(subject.store.user(UserId(2)).await.unwrap(), None);
    let mut respelled = user(1, "ADA");
    respelled.email = "Ada@EXAMPLE.com".into();
    subject.put(Record::User(respelled)).await.unwrap();
}

pub(super) async fn a_freed_name_can_be_taken(subject: &Subject) {
    add_users(subject, &["ada", "bob"]).await;
    subject
        .put(Record::User(user(1, "countess")))
        .await
        .unwrap();
    let found = subject.store.user_by_login("ada").await.unwrap();
    assert_eq!(found, None);
    subject.put(Record::User(user(2, "ada"))).await.unwrap();
    let delete = Batch::new().delete(RecordKey::User(UserId(2)), Expect::Revision(2));
    subject.store.commit(delete).await.unwrap();
    subject.put(Record::User(user(3, "ada"))).await.unwrap();
    let found = subject
        .store
        .user_by_login("ada@example.com")
        .await
        .unwrap();
    assert_eq!(found.unwrap().value.id, UserId(3));
}

pub(super) async fn logins_are_email_or_username(subject: &Subject) {
    add_users(subject, &["Ada", "bob"]).await;
    for login in ["ada", "ADA", "ada@example.com", "Ada@Example.COM"] {
        let found = subject.store.user_by_login(login).await.unwrap();
        assert_eq!(found.unwrap().value.id, UserId(1), "{login}");
    }
    for login in ["ad", "ada@example", "", "carol"] {
        let found = subject.store.user_by_login(login).await.unwrap();
        assert_eq!(found, None, "{login}");
    }
}

pub(super) async fn user_search_is_by_prefix_and_ordered(subject: &Subject) {
    add_users(subject, &["zoe", "Anna", "andy", "bob", "anton"]).await;
    let mut by_email = user(6, "yves");
    by_email.email = "AN.other@example.com".into();
    subject.put(Record::User(by_email)).await.unwrap();
    let names = async |prefix: &str, limit| -> Vec<String> {
        let found = subject.store.search_users(prefix, limit).await.unwrap();
        found.into_iter().map(|user| user.username).collect()
    };
    assert_eq!(names("aN", 10).await, ["andy", "Anna", "anton", "yves"]);
    assert_eq!(names("an", 3).await, ["andy", "Anna", "anton"]);
    assert_eq!(names("bob@", 10).await, ["bob"]);
    assert!(names("nobody", 10).await.is_empty());
    assert!(names("an", 0).await.is_empty());
}

pub(super) async fn users_are_paged_by_id(subject: &Subject) {
    add_users(subject, &["eve", "dan", "carol", "bob", "ada"]).await;
    let mut page = Page::first(2);
    let mut ids = Vec::new();
    loop {
        let found = subject.store.users(&page).await.unwrap();
        ids.push(found.items.iter().map(|u| u.id.0).collect::<Vec<_>>());
        page.cursor = found.next;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(ids, [vec![1, 2], vec![3, 4], vec![5]]);
    let all = subject.store.users(&Page::first(5)).await.unwrap();
    assert_eq!((all.items.len(), all.next), (5, None));
}

pub(super) async fn admins_are_noticed(subject: &Subject) {
    let mut admin = user(1, "ada");
    subject.put(Record::User(admin.clone())).await.unwrap();
    assert!(!subject.store.has_admin().await.unwrap());
    admin.role = Role::Admin;
    subject.put(Record::User(admin.clone())).await.unwrap();
    assert!(subject.store.has_admin().await.unwrap());
    admin.disabled = true;
    subject.put(Record::User(admin.clone())).await.unwrap();
    assert!(!subject.store.has_admin().await.unwrap());
    admin.disabled = false;
    subject.put(Record::User(admin)).await.unwrap();
    let delete = Batch::new().delete(RecordKey::User(UserId(1)), Expect::Any);
    subject.store.commit(delete).await.unwrap();
    assert!(!subject.store.has_admin().await.unwrap());
}

pub(super) async fn sessions_come_and_go(subject: &Subject) {
    for (id, owner) in [("aa", 1), ("bb", 1), ("cc", 2)] {
        subject
            .put(Record::Session(session(id, owner)))
            .await
            .unwrap();
    }
    let found = subject.store.session("bb").await.unwrap();
    assert_eq!(found, Some(session("bb", 1)));
    let ids = async |user| -> Vec<String> {
        let found = subject.store.sessions_of(UserId(user)).await.unwrap();
        found.into_iter().map(|session| session.id).collect()
    };
    assert_eq!(ids(1).await, ["aa", "bb"]);
    let delete = Batch::new().delete(RecordKey::Session("aa".to_owned()), Expect::Revision(1));
    subject.store.commit(delete.clone()).await.unwrap();
    assert_code(subject.store.commit(delete).await, Code::Conflict);
    assert_eq!(ids(1).await, ["bb"]);
    assert_eq!(ids(2).await, ["cc"]);
    assert!(ids(3).await.is_empty());
}

pub(super) async fn api_tokens_come_and_go(subject: &Subject) {
    for (id, owner) in [(1, 1), (2, 2), (3, 1), (4, 1)] {
        subject
            .put(Record::ApiToken(api_token(id, owner)))
            .await
            .unwrap();
    }
    let third = api_token(3, 1);
    let found = subject.store.api_token_by_digest(&third.digest).await;
    assert_eq!(found.unwrap(), Some(third.clone()));
    let first = subject
        .store
        .api_tokens_of(UserId(1), &Page::first(2))
        .await
        .unwrap();
    assert_eq!(first.items, [api_token(1, 1), third.clone()]);
    let rest = Page {
        limit: 2,
        cursor: first.next,
    };
    let rest = subject.store.api_tokens_of(UserId(1), &rest).await.unwrap();
    assert_eq!((rest.items, rest.next), (vec![api_token(4, 1)], None));

    let mut renewed = third.clone();
    renewed.digest = "f".repeat(64);
    subject
        .put(Record::ApiToken(renewed.clone()))
        .await
        .unwrap();
    let old = subject.store.api_token_by_digest(&third.digest).await;
    assert_eq!(old.unwrap(), None);
    let delete = Batch::new().delete(RecordKey::ApiToken(3), Expect::Any);
    subject.store.commit(delete).await.unwrap();
    assert_eq!(subject.store.api_token(3).await.unwrap(), None);
    let gone = subject.store.api_token_by_digest(&renewed.digest).await;
    assert_eq!(gone.unwrap(), None);
}

pub(super) async fn an_api_token_has_its_own_digest(subject: &Subject) {
    subject
        .put(Record::ApiToken(api_token(1, 1)))
        .await
        .unwrap();
    let mut twin = api_token(2, 2);
    twin.digest = api_token(1, 1).digest;
    assert_code(subject.put(Record::ApiToken(twin)).await, Code::Conflict);
}

pub(super) async fn a_link_is_used_once(subject: &Subject) {
    let link = OneTimeLink {
        digest: "d".repeat(64),
        purpose: LinkPurpose::Setup,
        created_at: START,
        expires_at: START,
    };
    subject
        .put(Record::OneTimeLink(link.clone()))
        .await
        .unwrap();
    let found = subject.store.one_time_link(&link.digest).await.unwrap();
    assert_eq!(found, Some(link.clone()));
    let uses = (0..16).map(|_| {
        let key = RecordKey::OneTimeLink(link.digest.clone());
        subject
            .store
            .commit(Batch::new().delete(key, Expect::Revision(1)))
    });
    let outcomes = futures::future::join_all(uses).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        assert_code(outcome, Code::Conflict);
    }
}

pub(super) async fn deleting_a_user_takes_what_is_theirs(subject: &Subject) {
    add_users(subject, &["ada", "bob"]).await;
    subject.put(Record::Project(project(1, 1))).await.unwrap();
    for id in [1, 2] {
        let token = api_token(id, id);
        let name = format!("s{id}");
        subject.put(Record::ApiToken(token)).await.unwrap();
        subject
            .put(Record::Session(session(&name, id)))
            .await
            .unwrap();
    }
    subject.put(Record::Member(member(1, 2))).await.unwrap();
    let delete = Batch::new().delete(RecordKey::User(UserId(2)), Expect::Revision(1));
    subject.store.commit(delete).await.unwrap();
    assert_eq!(subject.store.session("s2").await.unwrap(), None);
    assert_eq!(subject.store.api_token(2).await.unwrap(), None);
    let member = subject.store.member(ProjectId(1), UserId(2)).await;
    assert_eq!(member.unwrap(), None);
    let listed = subject
        .store
        .projects_for(UserId(2), &Page::default())
        .await;
    assert!(listed.unwrap().items.is_empty());
    assert!(subject.store.session("s1").await.unwrap().is_some());
    assert!(subject.store.api_token(1).await.unwrap().is_some());
}

pub(super) async fn what_names_no_account_goes_with_its_deletion(subject: &Subject) {
    subject
        .put(Record::ApiToken(api_token(1, 3)))
        .await
        .unwrap();
    subject
        .put(Record::Session(session("s3", 3)))
        .await
        .unwrap();
    let delete = Batch::new().delete(RecordKey::User(UserId(3)), Expect::Any);
    subject.store.commit(delete).await.unwrap();
    assert_eq!(subject.store.session("s3").await.unwrap(), None);
    assert_eq!(subject.store.api_token(1).await.unwrap(), None);
}
