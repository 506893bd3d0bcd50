//! What a server is doing when it meets its end: small stories that a client
//! can tell again from the start when they were cut off.

use hivesync::stop_points::Point;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{Client, Gone, Tree};
use crate::git_server::{GitServer, Work};
use crate::ledger::{Ledger, balance};
use crate::process::Home;
use crate::server::{At, Server, Start, expect_killed, start_with};

/// Never ends by itself.
const STUCK: &str = "echo stuck; while :; do sleep 1; done";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// An upload is built, by the server alone.
    Page,
    /// The same in a process of its own.
    Shell,
    /// A build cannot succeed.
    Failure,
    /// A running build is cancelled.
    Cancel,
    /// A build outlasts the grace of a soft stop.
    Stop,
    /// A project with a preview is deleted.
    Delete,
    /// A linked repository is fetched.
    Sync,
    /// An app's JavaScript is compiled after its build.
    Bytecode,
}

/// A server's home, its account and what the scene works on.
pub(crate) struct Stage {
    pub(crate) home: Home,
    pub(crate) ledger: Ledger,
    client: Client,
    scene: Scene,
    project: i64,
    /// The linked repository, and what serves it.
    origin: Option<(GitServer, Work)>,
    /// How often the scene was begun.
    takes: u32,
}

impl Stage {
    pub(crate) async fn of(scene: Scene) -> Self {
        Self::on(Home::new(), scene).await
    }

    pub(crate) async fn on(home: Home, scene: Scene) -> Self {
        let ledger = Ledger::new();
        let origin = match scene {
            Scene::Sync => {
                let server = GitServer::start().await;
                let work = server.repository("origin");
                Some((server, work))
            }
            _ => None,
        };
        let mut stage = Self {
            client: Client::nobody(),
            home,
            ledger,
            scene,
            project: 0,
            origin,
            takes: 0,
        };
        let server = stage.start(None).ready();
        stage.client = Client::register(&stage.home, &server).await;
        stage.project = stage.make_project().await.expect("a project");
        server.stop();
        stage
    }

    pub(crate) fn start(&self, at: Option<At>) -> Start {
        let hosts = match &self.origin {
            Some((server, _)) => server.host(),
            None => "git.invalid".to_owned(),
        };
        let grace = if self.scene == Scene::Stop { "0" } else { "20" };
        let settings = [
            ("SOURCE_ALLOWED_HOSTS", hosts.as_str()),
            ("SHUTDOWN_GRACE_SECONDS", grace),
        ];
        start_with(&self.home, at, &settings)
    }

    async fn make_project(&mut self) -> Result<i64, Gone> {
        if let Some((server, _)) = &self.origin {
            let source = json!({"kind": "git", "url": server.url("origin")});
            let body = json!({"name": "linked", "source": source});
            return self.client.project_of(&self.ledger, &body).await;
        }
        let project = self.client.new_project(&self.ledger, "uploaded").await?;
        if self.scene == Scene::Delete {
            self.project = project;
            self.build(&Tree::page("to be deleted")).await?;
        }
        Ok(project)
    }

    async fn build(&self, tree: &Tree) -> Result<Value, Gone> {
        let job = self.request(tree).await?;
        self.client.end_of(&job).await
    }

    async fn request(&self, tree: &Tree) -> Result<String, Gone> {
        let Self { client, ledger, .. } = self;
        client.upload(ledger, self.project, tree).await?;
        client.build(ledger, self.project).await
    }

    /// Plays the scene from its beginning to its end, or to the server's.
    pub(crate) async fn play(&mut self, server: &Server) -> Result<(), Gone> {
        self.client = self.client.on(server);
        self.takes += 1;
        let text = format!("take {}", self.takes);
        match self.scene {
            Scene::Page => expect(&self.build(&Tree::page(&text)).await?, "success"),
            Scene::Shell => expect(&self.build(&Tree::built(&text)).await?, "success"),
            Scene::Failure => expect(&self.build(&Tree::hopeless()).await?, "failed"),
            Scene::Cancel => self.cancel(&text).await?,
            Scene::Stop => self.outlast(server, &text).await?,
            Scene::Delete => self.delete().await?,
            Scene::Sync => self.sync().await?,
            Scene::Bytecode => self.bytecode(&text).await?,
        }
        Ok(())
    }

    async fn cancel(&self, text: &str) -> Result<(), Gone> {
        let tree = Tree::script(&format!("echo {text}; {STUCK}"), "");
        let job = self.request(&tree).await?;
        self.client
            .follow(&format!("/preview/logs/{job}"), "stuck")
            .await?;
        self.client.cancel(&self.ledger, &job).await?;
        expect(&self.client.end_of(&job).await?, "cancelled");
        Ok(())
    }

    /// The first take is stuck, and is built to its end by a later process.
    async fn outlast(&self, server: &Server, text: &str) -> Result<(), Gone> {
        if self.takes > 1 {
            expect(&self.build(&Tree::built(text)).await?, "success");
            return Ok(());
        }
        let script = format!(
            "mark=${{TMPDIR:-/tmp}}/metro-cache/first; \
             if [ ! -e $mark ]; then : > $mark; {STUCK}; fi; \
             mkdir dist; printf %s '{text}' > dist/index.html"
        );
        let job = self.request(&Tree::script(&script, text)).await?;
        self.client
            .follow(&format!("/preview/logs/{job}"), "stuck")
            .await?;
        server.signal(Signal::TERM);
        self.client.end_of(&job).await.map(drop)
    }

    async fn delete(&self) -> Result<(), Gone> {
        self.client.delete(self.project).await?;
        self.ledger.deleted(self.project);
        let data = self.home.data();
        let places =
            ["repos", "previews"].map(|place| data.join(place).join(self.project.to_string()));
        while places.iter().any(|place| place.exists()) {
            // A round trip each time: the server does something meanwhile, or
            // it is gone.
            self.client.previews(self.project).await?;
        }
        Ok(())
    }

    async fn sync(&self) -> Result<(), Gone> {
        if let Some((_, work)) = &self.origin {
            work.write("index.html", &format!("take {}", self.takes));
            work.commit("Another");
            work.git(&["push", "--quiet", "origin", "main"]);
        }
        self.client.synced(self.project).await?;
        let job = self.client.build(&self.ledger, self.project).await?;
        expect(&self.client.end_of(&job).await?, "success");
        Ok(())
    }

    async fn bytecode(&self, text: &str) -> Result<(), Gone> {
        let Self { client, ledger, .. } = self;
        let tree = Tree::app(&format!("// {text}"));
        client.upload(ledger, self.project, &tree).await?;
        let job = client.build_for("ios", ledger, self.project).await?;
        expect(&client.end_of(&job).await?, "success");
        // A round trip each time: the server does something meanwhile.
        while client.status(&job).await?["bytecode"].is_null() {}
        Ok(())
    }

    /// A process that ends itself at this point of the scene.
    pub(crate) async fn crash(&mut self, at: At) {
        match self.start(Some(at)) {
            Start::Died(status) => expect_killed(status),
            Start::Ready(server) => {
                // Its end may come behind the last answer.
                let _ = self.play(&server).await;
                expect_killed(server.ended());
            }
        }
    }

    /// The same where the scene may end before it comes to that point.
    pub(crate) async fn crash_or_play(&mut self, at: At) {
        match self.start(Some(at)) {
            Start::Died(status) => expect_killed(status),
            Start::Ready(server) => match self.play(&server).await {
                Ok(()) => server.kill(),
                Err(Gone) => expect_killed(server.ended()),
            },
        }
    }

    /// A process that ends itself before it is ready.
    pub(crate) fn crash_in_recovery(&self, point: Point) {
        self.start(Some(At(point, 1))).killed();
    }

    /// The builds of its project as the next process tells them.
    pub(crate) async fn rows(&mut self) -> Vec<Value> {
        let server = self.start(None).ready();
        let client = self.client.on(&server);
        let rows = client.previews(self.project).await.expect("a list");
        server.stop();
        rows
    }

    /// Plays the scene undisturbed, and reckons.
    pub(crate) async fn finish(mut self) {
        let server = self.start(None).ready();
        self.play(&server).await.expect("nobody kills it");
        balance(&self.home, server, &self.client, &self.ledger).await;
    }
}

#[track_caller]
fn expect(row: &Value, status: &str) {
    assert_eq!(row["status"], status, "{row}");
}
