//! What the server has acknowledged, and the reckoning at the end: every
//! acknowledged build is done, pending or dead, once, and whole.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use crate::client::{Client, Gone};
use crate::process::Home;
use crate::server::{self, Server};

#[derive(Debug, Default)]
struct Entries {
    projects: BTreeSet<i64>,
    /// What each acknowledged upload must give when it is built.
    pages: HashMap<String, String>,
    /// Acknowledged builds, by job, with their project.
    builds: BTreeMap<String, i64>,
    /// Requests for a build whose answer was lost.
    unanswered: usize,
    /// Builds that somebody has asked to cancel, whatever came of it.
    cancelled: HashSet<String>,
    /// Acknowledged cancels.
    must_be_cancelled: HashSet<String>,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    entries: Mutex<Entries>,
    /// Grows with every acknowledgement.
    acknowledged: watch::Sender<u64>,
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn new() -> Self {
        Self {
            entries: Mutex::default(),
            acknowledged: watch::Sender::new(0),
        }
    }

    /// Returns after so many acknowledgements more.
    pub(crate) async fn after(&self, more: u64) {
        let mut acknowledged = self.acknowledged.subscribe();
        let end = *acknowledged.borrow() + more;
        // We hold the sender, so it is not gone.
        let _ = acknowledged.wait_for(|count| *count >= end).await;
    }

    fn note(&self, entry: impl FnOnce(&mut Entries)) {
        entry(&mut self.entries());
        self.acknowledged.send_modify(|count| *count += 1);
    }

    pub(crate) fn project(&self, id: i64) {
        self.entries().projects.insert(id);
    }

    pub(crate) fn uploaded(&self, commit: &str, page: &str) {
        self.note(|entries| {
            entries.pages.insert(commit.to_owned(), page.to_owned());
        });
    }

    pub(crate) fn asked(&self, project: i64, answer: &Result<String, Gone>) {
        match answer {
            Ok(job) => self.note(|entries| {
                entries.builds.insert(job.clone(), project);
            }),
            Err(Gone) => self.entries().unanswered += 1,
        }
    }

    pub(crate) fn cancels(&self, job: &str) {
        self.entries().cancelled.insert(job.to_owned());
    }

    pub(crate) fn cancelled(&self, job: &str) {
        self.note(|entries| {
            entries.must_be_cancelled.insert(job.to_owned());
        });
    }

    /// The project and all its builds are to be forgotten.
    pub(crate) fn deleted(&self, project: i64) {
        let mut entries = self.entries();
        entries.projects.remove(&project);
        entries.builds.retain(|_, of| *of != project);
    }

    pub(crate) fn builds(&self) -> Vec<String> {
        self.entries().builds.keys().cloned().collect()
    }
}

/// Waits for every build to end on a server that nobody kills, and reckons.
/// Answers how many builds there were.
pub(crate) async fn balance(
    home: &Home,
    server: Server,
    client: &Client,
    ledger: &Ledger,
) -> usize {
    let client = client.on(&server);
    let mut rows: BTreeMap<String, Value> = BTreeMap::new();
    let projects = ledger.entries().projects.clone();
    for project in projects {
        for row in client.previews(project).await.expect("a list") {
            let job = row["job_id"].as_str().expect("an id").to_owned();
            let row = client.end_of(&job).await.expect("its end");
            let twice = rows.insert(job, row);
            assert!(twice.is_none(), "listed twice: {twice:?}");
        }
    }
    let totals = Totals::of(&rows);
    for row in rows.values() {
        assert_row(&client, ledger, row).await;
    }
    assert_complete(ledger, &rows);
    assert_queue(home, &totals);
    server.stop();
    assert_files(&home.data(), &rows);
    server::expect_no_survivors(home.path());
    rows.len()
}

#[derive(Debug, Default)]
struct Totals {
    dead: u64,
}

impl Totals {
    fn of(rows: &BTreeMap<String, Value>) -> Self {
        let dead = rows.values().filter(|row| row["status"] == "failed");
        Self {
            dead: dead.count() as u64,
        }
    }
}

/// Nothing acknowledged is missing, and nothing is there that nobody asked for.
fn assert_complete(ledger: &Ledger, rows: &BTreeMap<String, Value>) {
    let entries = ledger.entries();
    let mut strangers = rows.len();
    for (job, project) in &entries.builds {
        let row = rows
            .get(job)
            .unwrap_or_else(|| panic!("{job} was acknowledged and is lost"));
        assert_eq!(row["project_id"], *project, "{row}");
        strangers -= 1;
    }
    assert!(
        strangers <= entries.unanswered,
        "{strangers} builds that nobody was told of, {} requests without an answer",
        entries.unanswered
    );
    for job in &entries.must_be_cancelled {
        assert_eq!(rows[job]["status"], "cancelled", "{job}: a cancel was lost");
    }
}

/// One build's end is one that it may have.
async fn assert_row(client: &Client, ledger: &Ledger, row: &Value) {
    let job = row["job_id"].as_str().expect("an id");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let error = text(&row["error"]["message"]);
    match text(&row["status"]).as_str() {
        "success" => assert_artifact(client, ledger, row).await,
        // Its workers were killed three times, or its tree cannot be built.
        "failed" => assert!(
            error.contains("stopped without a word") || error.contains("index.html"),
            "{row}"
        ),
        "cancelled" => {
            let asked = ledger.entries().cancelled.contains(job);
            assert!(asked || error.contains("newer commit"), "{row}");
        }
        other => panic!("{job} has ended as {other}: {row}"),
    }
}

/// The bundle is the one of its job and its commit, and as long and whole as
/// the row says.
async fn assert_artifact(client: &Client, ledger: &Ledger, row: &Value) {
    let job = row["job_id"].as_str().expect("an id");
    let (etag, bytes) = client.download(job).await.expect("a bundle");
    assert_eq!(row["size"], bytes.len() as u64, "{row}");
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let digest = data_encoding::HEXLOWER.encode(digest.as_ref());
    assert_eq!(etag, format!("\"{digest}\""), "{row}");

    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("a whole zip");
    let mut read = |name: &str| {
        let file = zip.by_name(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        std::io::read_to_string(file).expect("text")
    };
    let facts: Value = serde_json::from_str(&read("metadata.json")).expect("JSON");
    assert_eq!(facts["commit"], row["commit"], "{row}");
    let commit = row["commit"].as_str().expect("a commit");
    let page = ledger.entries().pages.get(commit).cloned();
    // The answer to the upload may have been lost.
    if let Some(page) = page {
        let name = match row["platform"].as_str() {
            Some("web") => "dist/index.html",
            _ => "main.jsbundle",
        };
        assert_eq!(read(name), page, "{row}");
    }
    let (bytecode, known) = (&row["bytecode"], client.bytecode(job).await);
    assert_eq!(
        known.expect("an answer"),
        bytecode["sha256"].as_str().map(str::to_owned)
    );
}

/// The queue's own account agrees with the rows.
fn assert_queue(home: &Home, totals: &Totals) {
    let health = home.run(&["health", "--json"]).json();
    let builds = &health["queues"]["preview_build"];
    assert_eq!(builds["queued"], 0, "{builds}");
    assert_eq!(builds["running"], 0, "{builds}");
    assert_eq!(builds["dead"], totals.dead, "{builds}");
}

/// No temporary file is left, and no stored file is half there or nobody's.
fn assert_files(data: &Path, rows: &BTreeMap<String, Value>) {
    let left = files(&data.join("tmp"));
    assert!(left.is_empty(), "left in tmp: {left:?}");
    for file in files(&data.join("previews")) {
        let inside = Path::new(&file).strip_prefix(data).expect("below");
        let mut names = inside.iter().skip(2).map(|name| name.to_str());
        let job = names.next().flatten().unwrap_or_default();
        let job = job.strip_suffix(".hbc").unwrap_or(job);
        // A build may have been cancelled or buried after its bundle was put;
        // but each is a whole one, in the place of a build that there is.
        assert!(
            rows.contains_key(job),
            "nobody's, or half of a bundle: {file}"
        );
    }
}

/// The paths of all files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().expect("a kind").is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.to_str().expect("a plain name").to_owned());
        }
    }
    found
}
