//! Golden bytes of every record, and what a codec must refuse.

use super::*;
use crate::clock::Timestamp;
use crate::domain::job::{JobFailure, JobState, Lease, Priority, Queue};
use crate::domain::preview::{
    BuildError, Bundle, BundlerOrigin, Bytecode, Platform, Preview, PreviewStatus, SandboxLevel,
    Stage, TokenFacts,
};
use crate::domain::project::{MemberRole, ProjectConfig, ProjectKind, SealedCredential, Source};
use crate::domain::user::{LinkPurpose, Role, Scope};
use crate::domain::{JobId, ProjectId, UserId};

const TIME: Timestamp = Timestamp::from_millis(1_700_000_000_123);

fn text(text: &str) -> String {
    text.to_owned()
}

fn id() -> JobId {
    "job_00000000000000000000000001".parse().unwrap()
}

fn user() -> Revised<User> {
    Revised {
        revision: 3,
        value: User {
            id: UserId(7),
            email: text("ada@example.com"),
            username: text("ada"),
            role: Role::Sysops,
            password_hash: text("$argon2id$"),
            disabled: true,
            preferences: text("{}"),
            created_at: TIME,
            updated_at: TIME,
        },
    }
}

fn project(source: Source) -> Revised<Project> {
    Revised {
        revision: 1,
        value: Project {
            id: ProjectId(300),
            name: text("app"),
            owner_id: UserId(7),
            source,
            config: ProjectConfig {
                kind: Some(ProjectKind::Static),
                root: Some(text("apps/mobile")),
                entry_file: None,
                build_script: Some(text("build")),
                output_dir: None,
                install_scripts: true,
            },
            trusted: false,
            created_at: TIME,
            updated_at: TIME,
            synced_at: Some(TIME),
        },
    }
}

fn preview() -> Revised<Preview> {
    Revised {
        revision: 70_000,
        value: Preview {
            id: id(),
            project_id: ProjectId(300),
            requested_by: UserId(7),
            git_ref: text("main"),
            branch: Some(text("main")),
            commit: "a".repeat(40),
            platform: Platform::Web,
            build_key: text("key"),
            token: TokenFacts {
                issued_at: TIME,
                expires_at: TIME,
                version: 1,
            },
            status: PreviewStatus::Cancelled,
            stage: Some(Stage::Upload),
            percent: 80,
            warm: Some(true),
            sandbox: Some(SandboxLevel::None),
            timed_out: true,
            error: Some(BuildError {
                code: text("CANCELLED"),
                message: text("cancelled"),
            }),
            bundle: Some(Bundle {
                key: text("previews/300/job/bundle.zip"),
                size: 123_456_789,
                sha256: "b".repeat(64),
                kind: ProjectKind::ReactNative,
                expires_at: TIME,
                bytecode: Some(Bytecode {
                    size: 654_321,
                    sha256: "c".repeat(64),
                    version: 98,
                }),
            }),
            estimated_seconds: 20,
            created_at: TIME,
            started_at: Some(TIME),
            completed_at: None,
            bundler: Some(BundlerOrigin::Started),
        },
    }
}

fn placed_job() -> PlacedJob {
    PlacedJob {
        place: 42,
        due: true,
        job: Job {
            id: id(),
            queue: Queue::Sync,
            kind: text("sync"),
            payload: text("{}"),
            priority: Priority::LOW,
            group: -1,
            dedupe_key: Some(text("sync:1")),
            max_attempts: 3,
            state: JobState::Cancelled,
            attempts: 2,
            run_at: TIME,
            fence: 9,
            lease: Some(Lease {
                worker: text("w"),
                expires_at: TIME,
            }),
            created_at: TIME,
            started_at: Some(TIME),
            finished_at: None,
            last_error: Some(JobFailure {
                code: text("CANCELLED"),
                message: text("cancelled"),
            }),
        },
    }
}

/// Encodes, decodes, and adds a line to compare with the golden file.
fn line<T: Stored + PartialEq + fmt::Debug>(lines: &mut String, record: &T) {
    let bytes = encode(record).unwrap();
    assert_eq!(&decode::<T>(&bytes).unwrap(), record);
    lines.push_str(T::NAME);
    lines.push_str(": ");
    lines.push_str(&data_encoding::HEXLOWER.encode(&bytes));
    lines.push('\n');
}

/// When this fails, a domain type's encoding has changed. Files in the field
/// hold the old one: follow the steps at the head of `codec.rs`, then renew
/// `golden.txt` from the test's output, keeping the old lines in a test of the
/// upgrade.
#[test]
fn every_record_has_its_golden_bytes() {
    let mut lines = String::new();
    line(&mut lines, &user());
    for source in [
        Source::Git {
            url: text("https://example.com/app.git"),
            branch: Some(text("main")),
            credential: Some(SealedCredential(vec![1, 2, 255])),
        },
        Source::Push,
        Source::Upload,
        Source::Local {
            path: text("/srv/app"),
        },
    ] {
        line(&mut lines, &project(source));
    }
    line(&mut lines, &preview());
    let session = Session {
        id: text("abc"),
        user_id: UserId(7),
        created_at: TIME,
        expires_at: TIME,
    };
    line(&mut lines, &session);
    let token = ApiToken {
        id: 1,
        user_id: UserId(7),
        name: text("ci"),
        digest: "c".repeat(64),
        scope: Scope::Build,
        created_at: TIME,
        expires_at: None,
    };
    line(&mut lines, &token);
    let link = OneTimeLink {
        digest: "d".repeat(64),
        purpose: LinkPurpose::Invite,
        created_at: TIME,
        expires_at: TIME,
    };
    line(&mut lines, &link);
    let member = Member {
        project_id: ProjectId(300),
        user_id: UserId(7),
        role: MemberRole::Editor,
        added_at: TIME,
    };
    line(&mut lines, &member);
    line(&mut lines, &placed_job());
    let group = GroupRow {
        turn: 1 << 63 | 5,
        running: 2,
        ready: vec![(50, 1), (100, 1000)],
    };
    line(&mut lines, &group);
    let counts = QueueCounts {
        queued: 1,
        running: 2,
        dead: 3,
        paused: true,
    };
    let state = QueueRow {
        last_place: 10,
        last_turn: 11,
        queues: vec![counts, QueueCounts::default()],
    };
    line(&mut lines, &state);
    assert_eq!(lines, include_str!("golden.txt"), "renewed:\n{lines}");
}

/// The lines of version 1, before bundles had bytecode, and of version 2, before
/// builds told where their bundler came from.
#[test]
fn previews_of_earlier_versions_are_read() {
    let mut expected = preview();
    expected.value.bundler = None;
    let lines = include_str!("golden_before.txt").lines().rev();
    for (hex, version) in lines.zip([2, 1]) {
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        if version == 1 {
            expected.value.bundle.as_mut().unwrap().bytecode = None;
        }
        assert_eq!(decode::<Revised<Preview>>(&bytes).unwrap(), expected);
    }
}

/// Their numbers stand in keys and records alike.
#[test]
fn enums_keep_their_numbers() {
    assert_eq!(Queue::ALL.map(|queue| queue as u8), [0, 1, 2, 3, 4, 5, 6]);
    let statuses = [
        PreviewStatus::Queued,
        PreviewStatus::Building,
        PreviewStatus::DownloadingDeps,
        PreviewStatus::Bundling,
        PreviewStatus::Uploading,
        PreviewStatus::Success,
        PreviewStatus::Failed,
        PreviewStatus::Cancelled,
    ];
    assert_eq!(statuses.map(|s| s as u8), [0, 1, 2, 3, 4, 5, 6, 7]);
    let platforms = [Platform::Ios, Platform::Android, Platform::Web];
    assert_eq!(platforms.map(|platform| platform as u8), [0, 1, 2]);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NoteV1 {
    text: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NoteV2 {
    text: String,
    stars: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NoteV3 {
    lines: Vec<String>,
    stars: u8,
}

impl Stored for NoteV1 {
    const NAME: &'static str = "note";
    const VERSION: u8 = 1;
    type Previous = Nothing;

    fn upgrade(previous: Nothing) -> Self {
        match previous {}
    }
}

impl Stored for NoteV2 {
    const NAME: &'static str = "note";
    const VERSION: u8 = 2;
    type Previous = NoteV1;

    fn upgrade(previous: NoteV1) -> Self {
        Self {
            text: previous.text,
            stars: 1,
        }
    }
}

impl Stored for NoteV3 {
    const NAME: &'static str = "note";
    const VERSION: u8 = 3;
    type Previous = NoteV2;

    fn upgrade(previous: NoteV2) -> Self {
        Self {
            lines: vec![previous.text],
            stars: previous.stars,
        }
    }
}

#[test]
fn older_versions_are_upgraded_step_by_step() {
    let note = |stars| NoteV3 {
        lines: vec![text("hello")],
        stars,
    };
    let first = encode(&NoteV1 {
        text: text("hello"),
    })
    .unwrap();
    assert_eq!(decode::<NoteV3>(&first).unwrap(), note(1));
    let second = encode(&NoteV2 {
        text: text("hello"),
        stars: 5,
    })
    .unwrap();
    assert_eq!(decode::<NoteV3>(&second).unwrap(), note(5));
}

/// As records were written before they had a sum.
fn without_sum(record: &[u8]) -> Vec<u8> {
    let mut bytes = record[..record.len() - SUM_LENGTH].to_vec();
    bytes[0] &= !SUMMED;
    bytes
}

#[test]
fn a_record_without_a_sum_is_read() {
    let old = without_sum(&encode(&placed_job()).unwrap());
    assert_eq!(decode::<PlacedJob>(&old).unwrap(), placed_job());
}

fn problem<T: Stored + fmt::Debug>(bytes: &[u8]) -> String {
    decode::<T>(bytes).unwrap_err().to_string()
}

#[test]
fn a_newer_version_is_refused() {
    let newer = encode(&NoteV3 {
        lines: Vec::new(),
        stars: 0,
    })
    .unwrap();
    let message = problem::<NoteV2>(&newer);
    assert!(message.contains("version 3"), "{message}");
    assert!(message.contains("newer HiveSync"), "{message}");
}

#[test]
fn damaged_bytes_are_refused() {
    let whole = encode(&placed_job()).unwrap();
    assert!(problem::<PlacedJob>(&[]).contains("empty"));
    for length in 1..whole.len() {
        problem::<PlacedJob>(&whole[..length]);
    }
    for at in 1..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            let told = problem::<PlacedJob>(&flipped);
            assert!(told.contains("not what was written"), "{told}");
        }
    }
    let mut longer = without_sum(&whole);
    longer.push(0);
    assert!(problem::<PlacedJob>(&longer).contains("1 bytes too many"));
    // Version 0 was never written.
    assert!(problem::<NoteV1>(&[0, 1, 2]).contains("cannot be read"));
}

/// A length that claims more than the limit is refused before any memory is
/// taken for it.
#[test]
fn an_absurd_length_is_refused() {
    let mut bytes = vec![1, 253];
    bytes.extend_from_slice(&u64::MAX.to_le_bytes());
    problem::<NoteV1>(&bytes);
    let huge = NoteV1 {
        text: "x".repeat(LIMIT + 1),
    };
    assert!(encode(&huge).is_err());
}
