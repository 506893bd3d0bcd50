//! `make bench`: HiveSync beside the tools it is measured against, side by
//! side in one run.
//!
//! Each part is a file below `parts/`; it starts what it needs on free ports
//! of loopback and in temporary folders, and stops it. Every figure is the
//! median of rounds in which ours and the peer's alternate, so that whatever
//! else the machine does falls on both.
//!
//! `cargo bench --bench suite -- queue download` runs these parts only.

#[path = "../peers/hyper/bare.rs"]
mod bare;
mod client;
mod engines;
mod machine;
mod parts;
mod peers;
mod process;
mod project;
mod report;
mod server;
mod world;
mod wrk;

use std::process::ExitCode;

use report::Report;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        // What `cargo bench` adds for harnesses that know it.
        .filter(|argument| argument != "--bench")
        .collect();
    let ended = match arguments.first().map(String::as_str) {
        // The sides of ours that need a process of their own.
        Some("serve-queue") => server::serve(&arguments[1..]).await,
        Some("serve-bare") => bare::serve().await,
        _ => run(&arguments).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(wanted: &[String]) -> Result<()> {
    let chosen = parts::choose(wanted)?;
    let mut report = Report::new(machine::describe());
    for part in chosen {
        eprintln!("== {}: {}", part.name, part.about);
        let began = std::time::Instant::now();
        if let Err(failure) = (part.run)(&mut report).await {
            eprintln!("   failed: {failure}");
            report.fail(part.name, &failure);
        }
        eprintln!("   {:.0} s", began.elapsed().as_secs_f64());
    }
    println!("{report}");
    report.keep()?;
    if report.is_whole() {
        Ok(())
    } else {
        Err("a part could not be measured".into())
    }
}
