//! From the start of the process to its first answer at `/readyz`: on a data
//! folder that does not exist yet, and on one with a million jobs, after a
//! clean stop and after `kill -9`.

use std::time::Duration;

use super::{ROUNDS, median};
use crate::Result;
use crate::report::{Better, Figure, Reach, Report};
use crate::world::{Hive, stocked};

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let stock = stocked(1_000_000).await?;
    let [mut empty, mut used, mut full, mut killed] = [const { Vec::new() }; 4];
    let data = tempfile::tempdir()?;
    Hive::start_on(data.path(), &[]).await?.stop().await?;
    for _ in 0..ROUNDS + 2 {
        let hive = Hive::start(&[]).await?;
        empty.push(milliseconds(hive.ready_after));
        hive.stop().await?;
        let hive = Hive::start_on(data.path(), &[]).await?;
        used.push(milliseconds(hive.ready_after));
        hive.stop().await?;
        let hive = Hive::start_on(&stock.data, &[]).await?;
        full.push(milliseconds(hive.ready_after));
        hive.process.kill().await?;
        let hive = Hive::start_on(&stock.data, &[]).await?;
        killed.push(milliseconds(hive.ready_after));
        hive.stop().await?;
    }
    for (work, values, reach) in [
        ("start to ready, 0 jobs", used, Reach::Value(100.0)),
        ("start to ready, 1,000,000 jobs", full, Reach::Value(100.0)),
        ("the same after kill -9", killed, Reach::Value(100.0)),
        (
            "the first start of all: folder, secrets, database, admin",
            empty,
            Reach::Nothing,
        ),
    ] {
        report.add(Figure::new(work, "ms", Better::Lower, median(values)).reach(reach));
    }
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
