//! Whom a project is shared with.

use serde_json::json;

use crate::common::{Account, TestServer};

#[tokio::test]
async fn members_come_change_and_go() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let grace = server.register("grace").await;
    let eve = server.register("eve").await;
    let project = server.project(&ada, "one").await;
    let path = format!("/projects/{project}/members");
    let share = async |by: &Account, with: &Account, role: &str| {
        server
            .post(&path, &by.token, &json!({"user_id": with.id, "role": role}))
            .await
    };
    let made = share(&ada, &grace, "viewer").await.expect(201);
    assert_eq!(
        (&made["user_id"], &made["username"], &made["role"]),
        (&json!(grace.id), &json!("grace"), &json!("viewer"))
    );
    let rename = async |by: &Account| {
        server
            .patch(
                &format!("/projects/{project}"),
                &by.token,
                &json!({"name": "two"}),
            )
            .await
            .status
            .as_u16()
    };
    assert_eq!(rename(&grace).await, 403);
    share(&ada, &grace, "editor").await.expect(201);
    assert_eq!(rename(&grace).await, 200, "the new role counts at once");
    share(&grace, &eve, "viewer")
        .await
        .expect_error(403, "PROJECT_ACCESS_DENIED");

    let list = server.get(&path, &grace.token).await.expect(200);
    assert_eq!(list["members"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["members"][0]["role"], "editor");
    let remove = async |by: &Account, who: &Account| {
        server
            .delete(&format!("{path}/{}", who.id), &by.token)
            .await
    };
    share(&ada, &eve, "viewer").await.expect(201);
    remove(&grace, &eve)
        .await
        .expect_error(403, "PROJECT_ACCESS_DENIED");
    remove(&eve, &eve).await.expect(204);
    remove(&ada, &eve).await.expect_error(404, "NOT_FOUND");
    remove(&ada, &grace).await.expect(204);
    let gone = server
        .get(&format!("/projects/{project}"), &grace.token)
        .await;
    gone.expect_error(403, "PROJECT_ACCESS_DENIED");
    server.stop().await;
}

#[tokio::test]
async fn nobody_becomes_what_a_member_cannot_be() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let eve = server.register("eve").await;
    let project = server.project(&ada, "one").await;
    let path = format!("/projects/{project}/members");
    for (body, field) in [
        (json!({"user_id": ada.id, "role": "viewer"}), "user_id"),
        (json!({"user_id": 999, "role": "viewer"}), "user_id"),
        (json!({"user_id": eve.id, "role": "owner"}), "role"),
        (json!({"role": "viewer"}), "user_id"),
    ] {
        let error = server
            .post(&path, &ada.token, &body)
            .await
            .expect_error(422, "INVALID_INPUT");
        assert_eq!(error["details"]["field"], field);
    }
    server.stop().await;
}
