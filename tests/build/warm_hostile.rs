//! Warm bundlers of a project that means harm: what it does in the process that
//! is kept harms neither the server nor anybody else, and no preview comes out
//! other than it would without.

use std::fs;

use hivesync::bundle::warm::Spot;
use hivesync::config::SandboxChoice;
use hivesync::domain::ProjectId;
use hivesync::domain::preview::{Platform, PreviewStatus};
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Built, Tree};
use crate::common::DEADLINE;
use crate::endings::cancel;
use crate::warm::{WARM, add};

/// What it does, as the app's source says: see there.
const METRO_CONFIG: &str = include_str!("../fixtures/hostile-bundler/metro.config.js");

struct Hostile {
    builder: Builder,
    project: ProjectId,
    edits: u32,
}

impl Hostile {
    /// The project with its bundler.
    async fn start(choice: SandboxChoice) -> Self {
        let (builder, project) = begin(choice).await;
        let mut hostile = Self {
            builder,
            project,
            edits: 0,
        };
        hostile.preview("nothing").await;
        hostile.is_ready_again().await;
        hostile
    }

    /// A commit that asks for `attack`, and that no other is like.
    fn tree(&mut self, attack: &str) -> Tree {
        self.edits += 1;
        let mut tree = Tree::folder("tests/fixtures/rn-cli");
        tree.put("metro.config.js", &METRO_CONFIG.replace("3000.5", &tag()));
        let mark = format!("globalThis.mark = 'ATTACK-{attack}-{}';", self.edits);
        add(&mut tree, "App.js", &mark);
        tree
    }

    /// A preview of a commit that asks for `attack`: it always succeeds, and is
    /// of that commit.
    async fn preview(&mut self, attack: &str) -> Built {
        let tree = self.tree(attack);
        let built = self.builder.build(self.project, &tree, Platform::Ios).await;
        let main = built.text("main.jsbundle");
        let mark = format!("ATTACK-{attack}-{}", self.edits);
        assert!(main.contains(&mark), "{attack}: {}", built.log);
        assert!(!main.contains("planted"), "{attack}");
        built
    }

    /// The bundler was given up for `why`, and another one comes.
    async fn is_found_out(&mut self, attack: &str, why: &str) {
        let cold = self.preview(attack).await;
        let told = format!("the warm bundler does not serve ({why}");
        assert!(cold.log.contains(&told), "{attack}: {}", cold.log);
        assert!(cold.log.contains("cli.js bundle"), "{attack}: {}", cold.log);
        self.is_ready_again().await;
    }

    async fn is_ready_again(&self) {
        self.builder.app().bundlers.settled().await;
        assert!(self.builder.app().bundlers.is_ready(self.spot()));
    }

    /// It served, and stays.
    async fn serves(&mut self, attack: &str) -> Built {
        let warm = self.preview(attack).await;
        assert_eq!(warm.preview.warm, Some(true));
        assert!(warm.log.contains(WARM), "{attack}: {}", warm.log);
        for trouble in ["does not serve", "trying once without it"] {
            assert!(!warm.log.contains(trouble), "{attack}: {}", warm.log);
        }
        warm
    }

    fn spot(&self) -> Spot {
        Spot {
            project: self.project,
            platform: Platform::Ios,
        }
    }

    /// Ends the bundler; nothing of it is left.
    async fn ends_for_good(self) {
        self.builder.app().bundlers.close().await;
        assert_eq!(left(), Vec::<String>::new());
        self.builder.stop().await;
    }
}

async fn begin(choice: SandboxChoice) -> (Builder, ProjectId) {
    let builder = Builder::with(|config| {
        config.builds.sandbox = choice;
        config.builds.warm.count = 1;
    })
    .await;
    let project = match choice {
        SandboxChoice::None => builder.trusted_project().await,
        _ => builder.project(ProjectConfig::default()).await,
    };
    (builder, project)
}

/// What tells the processes that this test's bundlers start from all others.
fn tag() -> String {
    format!("3000.{}", std::process::id())
}

/// Those of them that there are, wherever they have gone.
fn left() -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("a folder").flatten();
    processes
        .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|words| words.contains(&tag()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_of_a_bundler_cost_it_its_life_and_no_preview() {
    let mut hostile = Hostile::start(SandboxChoice::Isolated).await;
    for (lie, why) in [
        ("digest", "what it has built is not of this commit"),
        ("other", "it answers something else"),
        ("garbage", "its answer cannot be read"),
        ("huge", "its answer cannot be read"),
        (
            "link",
            "`react-native bundle` ended well and wrote no bundle",
        ),
        (
            "pipe",
            "`react-native bundle` ended well and wrote no bundle",
        ),
        ("folder", "could not take the bundler's output"),
        (
            "holes",
            "the build's output is 2701 MiB, and no more than 2048 MiB go into a bundle",
        ),
    ] {
        hostile.is_found_out(lie, why).await;
    }
    // What is prepared for the next build.
    hostile.serves("twice").await;
    hostile
        .is_found_out("nothing", "it answers something else")
        .await;
    hostile.serves("next").await;
    hostile
        .is_found_out("nothing", "could not take the bundler's output")
        .await;
    hostile.ends_for_good().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bundler_leaves_behind_meets_nobody() {
    let mut hostile = Hostile::start(SandboxChoice::Isolated).await;
    let flooded = hostile.serves("flood").await;
    assert!(flooded.log.len() < 9 << 20, "{}", flooded.log.len());
    wrote_nothing(&hostile.serves("write").await);
    let timer = hostile.serves("wake").await;
    assert!(timer.log.contains("the timer is refused"), "{}", timer.log);
    hostile.serves("stay").await;
    assert!(!left().is_empty());
    hostile.serves("deaf").await;

    // More than a pipe takes from those who do not read: only a cancel or the
    // end of the time gets a build out of that.
    let mut tree = hostile.tree("nothing");
    let long = "so-long-that-the-names-of-all-of-them-do-not-fit".repeat(4);
    for index in 0..390 {
        tree.put(&format!("docs/{long}-{index}.txt"), "x\n");
    }
    let builder = &hostile.builder;
    let commit = builder.upload(hostile.project, &tree).await;
    let id = builder
        .request(hostile.project, &commit, Platform::Ios)
        .await;
    builder.until(&id, |_, log| log.contains(WARM)).await;
    cancel(builder, &id).await;
    let ended = builder
        .until(&id, |_, log| {
            log.contains("CANCELLED: the build was cancelled")
        })
        .await;
    assert_eq!(ended.status, PreviewStatus::Cancelled);
    hostile.ends_for_good().await;
}

fn wrote_nothing(built: &Built) {
    let refused = built.log.matches("is not writable: E").count();
    assert!(
        refused == 4 && !built.log.contains("hostile: wrote"),
        "{}",
        built.log
    );
}

/// Where nothing can be mounted it sees names of the machine's folders; what is
/// written there later is as closed to it as what was there before.
#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_bundler_reads_nothing_of_another_project() {
    let mut hostile = Hostile::start(SandboxChoice::Restricted).await;
    let builder = &hostile.builder;
    let other = builder.project(ProjectConfig::default()).await;
    let page = Tree::of(&[("index.html", "<html>SECRET-OF-ANOTHER")]);
    builder.build(other, &page, Platform::Web).await;
    // And while a build of the other is under way.
    let mut running = Tree::script("echo SECRET-OF-ANOTHER > secret; echo started; sleep 3000");
    running.put("more.txt", "SECRET-OF-ANOTHER");
    let commit = builder.upload(other, &running).await;
    let id = builder.request(other, &commit, Platform::Web).await;
    builder
        .until(&id, |_, log| log.contains("\nstarted\n"))
        .await;
    let searched = hostile.serves("search").await;
    assert!(
        searched.log.contains("hostile: searched, and found []"),
        "{}",
        searched.log
    );
    wrote_nothing(&hostile.serves("write").await);
    hostile.serves("stay").await;
    cancel(&hostile.builder, &id).await;
    hostile.ends_for_good().await;
}

/// Nothing of it goes on, whatever it has kept of what it was given.
#[tokio::test(flavor = "multi_thread")]
async fn a_bundler_that_does_not_come_up_is_ended_with_all_it_started() {
    for choice in [
        SandboxChoice::Isolated,
        SandboxChoice::Restricted,
        SandboxChoice::None,
    ] {
        let (builder, project) = begin(choice).await;
        let mut tree = Tree::folder("tests/fixtures/holding-bundler");
        tree.replace("config/index.js", "./holding", &tag());
        builder.build(project, &tree, Platform::Ios).await;
        let started = async {
            while left().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let started = tokio::time::timeout(DEADLINE, started).await;
        started.expect("it holds what it has");
        builder.app().bundlers.close().await;
        assert_eq!(left(), Vec::<String>::new());
        builder.stop().await;
    }
}

/// Whether or not they can be stopped in time: they cost no preview, and go.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_replace_themselves_hold_nobody_up() {
    let mut hostile = Hostile::start(SandboxChoice::Isolated).await;
    let flown = hostile.preview("comet").await;
    assert!(flown.log.contains("let comets fly"), "{}", flown.log);
    hostile.preview("nothing").await;
    hostile.ends_for_good().await;
}

/// Nothing keeps the process of a trusted project from waking itself: it goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_bundler_that_does_not_rest_is_given_up() {
    let mut hostile = Hostile::start(SandboxChoice::None).await;
    let timer = hostile.serves("wake").await;
    assert!(timer.log.contains("the timer is armed"), "{}", timer.log);
    hostile.builder.app().bundlers.empty().await;
    hostile.ends_for_good().await;
}
