//! `kill -9` at random moments, round after round, under load from several
//! clients; now and then a second time while the next start recovers.
//!
//! The seed is printed; `HIVESYNC_CRASH_SEED` repeats it.

use std::sync::Arc;
use std::time::Duration;

use hivesync::clock::{Random, SystemEntropy};
use hivesync::stop_points::Point;

use crate::client::{Client, Gone, Tree};
use crate::ledger::{Ledger, balance};
use crate::process::{DEADLINE, Home};
use crate::server::{self, At, Server, Start, start};

/// Of each of five tests.
const KILLS: u32 = 105;
const CLIENTS: usize = 4;
const PROJECTS: usize = 3;
/// The longest life of a process, in what it acknowledges, and how long it may
/// go on after that: both by chance.
const MOST_ANSWERS: u64 = 12;
const LONGEST_MILLIS: u64 = 80;

/// Where a start may be killed, too.
const IN_RECOVERY: &[At] = &[
    At(Point::RecoveryRepair, 1),
    At(Point::RecoveryRepair, 2),
    At(Point::RecoveryOpened, 1),
    At(Point::CommitBefore, 1),
    At(Point::CommitAfter, 1),
    At(Point::RecoveryReleased, 1),
    At(Point::RecoverySweep, 1),
];

/// `SplitMix64` (Steele, Lea, Flood, 2014): small, and the same everywhere.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn seeded(test: u64) -> Self {
        let seed = if let Ok(seed) = std::env::var("HIVESYNC_CRASH_SEED") {
            seed.parse().expect("HIVESYNC_CRASH_SEED is a number")
        } else {
            let random: Arc<dyn Random> = Arc::new(SystemEntropy::new());
            u64::from_le_bytes(random.bytes())
        };
        eprintln!("HIVESYNC_CRASH_SEED={seed}");
        Self(seed.wrapping_add(test))
    }
}

/// What a client goes on with in the next round.
struct Load {
    client: Client,
    projects: Vec<i64>,
    dice: Dice,
    page: u64,
    /// Builds in a process of its own, which take longer.
    shells: bool,
}

impl Load {
    /// Goes on until the server is gone.
    async fn run(mut self, ledger: Arc<Ledger>) -> Self {
        while self.step(&ledger).await.is_ok() {}
        self
    }

    async fn step(&mut self, ledger: &Ledger) -> Result<(), Gone> {
        let pick = usize::try_from(self.dice.below(PROJECTS as u64)).expect("small");
        let project = self.projects[pick];
        self.page += 1;
        let text = format!("page {} of project {project}", self.page);
        let tree = if self.shells {
            Tree::built(&text)
        } else {
            Tree::page(&text)
        };
        self.client.upload(ledger, project, &tree).await?;
        let job = self.client.build(ledger, project).await?;
        match self.dice.below(10) {
            0..6 => drop(self.client.end_of(&job).await?),
            6 => self.client.cancel(ledger, &job).await?,
            _ => {}
        }
        Ok(())
    }
}

async fn set_up(home: &Home, dice: &mut Dice, ledger: &Ledger) -> (Client, Vec<Load>) {
    let server = start(home, None).ready();
    let client = Client::register(home, &server).await;
    let mut loads = Vec::new();
    for number in 0..CLIENTS {
        let mut projects = Vec::new();
        for which in 0..PROJECTS {
            let name = format!("project {number}.{which}");
            let made = client.new_project(ledger, &name).await;
            projects.push(made.expect("a project"));
        }
        loads.push(Load {
            client: client.clone(),
            projects,
            dice: Dice(dice.below(u64::MAX)),
            page: 0,
            shells: number == 0,
        });
    }
    server.stop();
    (client, loads)
}

/// A start that nobody has harmed, after none or some that were killed in the
/// middle of their recovery. Answers how many.
fn recover(home: &Home, dice: &mut Dice) -> (Server, u32) {
    let mut kills = 0;
    while dice.below(4) == 0 {
        let pick = dice.below(IN_RECOVERY.len() as u64);
        let at = IN_RECOVERY[usize::try_from(pick).expect("small")];
        match start(home, Some(at)) {
            Start::Died(status) => server::expect_killed(status),
            // There was nothing to do at that point.
            Start::Ready(server) => server.kill(),
        }
        kills += 1;
    }
    (start(home, None).ready(), kills)
}

async fn rounds(test: u64) {
    let mut dice = Dice::seeded(test);
    let home = Home::new();
    let ledger = Arc::new(Ledger::new());
    let (client, mut loads) = set_up(&home, &mut dice, &ledger).await;
    let mut kills = 0;
    while kills < KILLS {
        let (server, in_recovery) = recover(&home, &mut dice);
        kills += in_recovery + 1;
        let mut running = tokio::task::JoinSet::new();
        for load in loads {
            let client = load.client.on(&server);
            running.spawn(Load { client, ..load }.run(ledger.clone()));
        }
        let answers = ledger.after(dice.below(MOST_ANSWERS));
        let answered = tokio::time::timeout(DEADLINE, answers).await;
        answered.expect("the server goes on answering");
        // The random moment: the one wait of these tests that is a time.
        let rest = dice.below(LONGEST_MILLIS);
        tokio::time::sleep(Duration::from_millis(rest)).await;
        server.kill();
        loads = running.join_all().await;
        assert_eq!(loads.len(), CLIENTS, "after {kills} kills");
    }
    let server = start(&home, None).ready();
    let builds = balance(&home, server, &client, &ledger).await;
    let acknowledged = ledger.builds().len();
    eprintln!("{kills} kills, {acknowledged} builds acknowledged, {builds} in the end");
    assert!(acknowledged > 50, "only {acknowledged} builds");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_balances_one() {
    rounds(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_balances_two() {
    rounds(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_balances_three() {
    rounds(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_balances_four() {
    rounds(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_balances_five() {
    rounds(5).await;
}
