//! Following builds: states and logs as server-sent events.

use std::time::Duration;

use futures::StreamExt;
use hivesync::domain::preview::Stage;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, DEADLINE};
use crate::previews_world::{World, job_id, text};

/// An open event stream.
struct Events {
    bytes: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    /// What has arrived of the next event; a chunk may end within a character.
    buffer: Vec<u8>,
    headers: reqwest::header::HeaderMap,
}

impl Events {
    async fn open(world: &World, path: &str, last: Option<&str>) -> Self {
        let mut request = world
            .server
            .request(Method::GET, path)
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        Self {
            headers: response.headers().clone(),
            bytes: response.bytes_stream().boxed(),
            buffer: Vec::new(),
        }
    }

    /// The next event's id and data; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let rest = self.buffer.split_off(end + 2);
                let event = std::mem::replace(&mut self.buffer, rest);
                let event = String::from_utf8(event).expect("UTF-8");
                let field = |name: &str| {
                    let line = event.lines().find_map(|l| l.strip_prefix(name));
                    line.map(|value| value.trim_start().to_owned())
                };
                if let Some(data) = field("data:") {
                    let data = serde_json::from_str(&data).expect("JSON");
                    return Some((field("id:").expect("every event has an id"), data));
                }
            }
            let next = tokio::time::timeout(DEADLINE, self.bytes.next()).await;
            let bytes = next.expect("an event in time")?.expect("no broken stream");
            self.buffer.extend_from_slice(&bytes);
        }
    }
}

fn paths(accepted: &Value) -> (String, String) {
    let (id, access) = (text(&accepted["job_id"]), text(&accepted["access_token"]));
    (
        format!("/preview/events/{id}?access={access}"),
        format!("/preview/logs/{id}?access={access}"),
    )
}

#[tokio::test]
async fn states_are_told_as_they_come_and_the_last_one_ends_it() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let (path, _) = paths(&accepted);
    let mut events = Events::open(&world, &path, None).await;
    assert_eq!(events.headers["content-type"], "text/event-stream");
    assert_eq!(events.headers["x-accel-buffering"], "no");
    assert_eq!(events.next().await.unwrap().1["status"], "queued");

    let claim = world.claim().await;
    let mut seen = Vec::new();
    for stage in [Stage::Checkout, Stage::Dependencies, Stage::Bundle] {
        world.enter(&claim, stage).await;
        let (id, state) = events.next().await.unwrap();
        assert_eq!(state["stage"], stage.as_str());
        seen.push(id);
    }
    world.succeed(&claim, &[("main.jsbundle", b"js")]).await;
    let (last, state) = events.next().await.unwrap();
    assert_eq!(state["status"], "success");
    assert_eq!(state["progress"], 1.0);
    assert_eq!(events.next().await, None);

    // Whoever lost the connection before the end hears of the end only.
    let mut again = Events::open(&world, &path, Some(&seen[1])).await;
    assert_eq!(again.next().await, Some((last.clone(), state)));
    assert_eq!(again.next().await, None);
    // Whoever knows it all is told not to come back.
    let request = world
        .server
        .request(Method::GET, &path)
        .header("last-event-id", last);
    assert_eq!(Answer::of(request).await.status, 204);
    world.server.stop().await;
}

#[tokio::test]
async fn a_known_state_is_not_told_again() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let (path, _) = paths(&accepted);
    let (id, _) = Events::open(&world, &path, None)
        .await
        .next()
        .await
        .unwrap();
    let mut events = Events::open(&world, &path, Some(&id)).await;
    let cancel = format!("/preview/cancel/{}", text(&accepted["job_id"]));
    world
        .server
        .post(&cancel, &world.owner.token, &json!({}))
        .await
        .expect(200);
    assert_eq!(events.next().await.unwrap().1["status"], "cancelled");
    assert_eq!(events.next().await, None);
    world.server.stop().await;
}

#[tokio::test]
async fn a_log_is_told_from_its_beginning_and_as_it_grows() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let id = job_id(&accepted);
    let (_, path) = paths(&accepted);
    world.log(&id, "one\ntwo\nthr").await;
    // Joining in the middle shows the history; a line is told when it is whole.
    let mut events = Events::open(&world, &path, None).await;
    let history = ("8".to_owned(), json!({"text": "one\ntwo\n"}));
    assert_eq!(events.next().await, Some(history));
    world.log(&id, "ee\r\n\u{1b}[31mfour\n").await;
    let (at, grown) = events.next().await.unwrap();
    assert_eq!(grown, json!({"text": "three\r\n\u{1b}[31mfour\n"}));

    // Taken up at a byte in the middle.
    let mut resumed = Events::open(&world, &path, Some("4")).await;
    let (_, rest) = resumed.next().await.unwrap();
    assert_eq!(rest, json!({"text": "two\nthree\r\n\u{1b}[31mfour\n"}));

    world.log(&id, "the end, without a line feed").await;
    let claim = world.claim().await;
    world.fail(&claim).await;
    for stream in [&mut events, &mut resumed] {
        let (_, last) = stream.next().await.unwrap();
        assert_eq!(last, json!({"text": "the end, without a line feed"}));
        assert_eq!(stream.next().await, None);
    }
    let mut late = Events::open(&world, &path, Some(&at)).await;
    let (end, last) = late.next().await.unwrap();
    assert_eq!(last, json!({"text": "the end, without a line feed"}));
    let request = world
        .server
        .request(Method::GET, &path)
        .header("accept", "text/event-stream")
        .header("last-event-id", end);
    assert_eq!(Answer::of(request).await.status, 204);
    world.server.stop().await;
}

#[tokio::test]
async fn a_log_is_also_plain_text() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let path = format!("/preview/logs/{}", text(&accepted["job_id"]));
    let none = world.server.get(&path, &world.owner.token).await;
    assert_eq!((none.status.as_u16(), none.body.len()), (200, 0));
    let written = "<script>alert(1)</script>\n".repeat(50_000);
    world.log(&job_id(&accepted), &written).await;
    let log = world.server.get(&path, &world.owner.token).await;
    assert_eq!(log.status, 200);
    assert_eq!(log.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(log.header("x-content-type-options"), "nosniff");
    // Its address may hold a token.
    assert_eq!(log.header("cache-control"), "no-store");
    assert!(log.text() == written);
    world.server.stop().await;
}

#[tokio::test]
async fn a_long_line_and_characters_across_pieces_stay_whole() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let id = job_id(&accepted);
    let written = "é".repeat(100_000);
    world.log(&id, &written).await;
    let claim = world.claim().await;
    world.fail(&claim).await;
    let mut events = Events::open(&world, &paths(&accepted).1, None).await;
    let mut told = String::new();
    while let Some((_, piece)) = events.next().await {
        told.push_str(piece["text"].as_str().unwrap());
    }
    assert!(told == written);
    world.server.stop().await;
}

#[tokio::test]
async fn followers_that_hang_up_and_servers_that_stop_leave_nothing() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let (states, logs) = paths(&accepted);
    let mut gone = Events::open(&world, &states, None).await;
    gone.next().await.unwrap();
    drop(gone);
    let mut states = Events::open(&world, &states, None).await;
    states.next().await.unwrap();
    let mut logs = Events::open(&world, &logs, None).await;
    // `stop` fails when a task or a handle is left behind.
    let stopped = world.server.stop();
    let (ended, log_ended, ()) = tokio::time::timeout(
        DEADLINE + Duration::from_secs(1),
        futures::future::join3(states.next(), logs.next(), stopped),
    )
    .await
    .expect("the end in time");
    assert_eq!((ended, log_ended), (None, None));
}
