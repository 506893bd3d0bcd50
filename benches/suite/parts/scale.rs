//! The 99th percentile of a preview's status and of a project's list, with a
//! million jobs stored beside a thousand: the same binary on two data folders,
//! asked in turns.

use std::time::Instant;

use reqwest::Method;

use super::{ROUNDS, median, quantile};
use crate::Result;
use crate::report::{Better, Figure, Reach, Report};
use crate::world::{Hive, Stock, stocked};

const QUESTIONS: usize = 1000;

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let many = Side::start(stocked(1_000_000).await?).await?;
    let few = Side::start(stocked(1_000).await?).await?;
    let [mut status_many, mut status_few, mut list_many, mut list_few] = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        status_many.push(many.status().await?);
        status_few.push(few.status().await?);
        list_many.push(many.list().await?);
        list_few.push(few.list().await?);
    }
    many.hive.stop().await?;
    few.hive.stop().await?;
    for (work, many, few) in [
        ("status, p99, 1,000,000 jobs", status_many, status_few),
        ("list, p99, 1,000,000 jobs", list_many, list_few),
    ] {
        report.add(
            Figure::new(work, "ms", Better::Lower, median(many))
                .beside("ours with 1,000", median(few))
                .reach(Reach::Times(1.0 / 1.3)),
        );
    }
    Ok(())
}

struct Side {
    hive: Hive,
    stock: Stock,
}

impl Side {
    async fn start(stock: Stock) -> Result<Self> {
        let mut hive = Hive::start_on(&stock.data, &[]).await?;
        hive.log_in().await?;
        Ok(Self { hive, stock })
    }

    async fn status(&self) -> Result<f64> {
        let paths = self
            .stock
            .sample
            .iter()
            .map(|id| format!("/preview/status/{id}"));
        self.p99(paths.cycle().take(QUESTIONS)).await
    }

    async fn list(&self) -> Result<f64> {
        let path = format!("/projects/{}/previews?limit=50", self.stock.project);
        self.p99(std::iter::repeat_n(path, QUESTIONS)).await
    }

    /// In milliseconds, one question after the other.
    async fn p99(&self, paths: impl Iterator<Item = String>) -> Result<f64> {
        let mut waits = Vec::new();
        for path in paths {
            let asked = Instant::now();
            self.hive.call(Method::GET, &path, None).await?;
            waits.push(asked.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(quantile(&mut waits, 0.99))
    }
}
