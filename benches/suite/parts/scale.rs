//! The 99th percentile of a preview's status and of a project's list, with a
//! million jobs stored beside a thousand: the same binary on two data folders,
//! asked in turns, question by question, so that whatever else the machine does
//! falls on both.

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
        let [of_many, of_few] = p99_of_both(&many, &few, Side::status_path).await?;
        status_many.push(of_many);
        status_few.push(of_few);
        let [of_many, of_few] = p99_of_both(&many, &few, Side::list_path).await?;
        list_many.push(of_many);
        list_few.push(of_few);
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

    fn status_path(&self, question: usize) -> String {
        let id = &self.stock.sample[question % self.stock.sample.len()];
        format!("/preview/status/{id}")
    }

    fn list_path(&self, _: usize) -> String {
        format!("/projects/{}/previews?limit=50", self.stock.project)
    }

    /// How long an answer takes, in milliseconds.
    async fn ask(&self, path: &str) -> Result<f64> {
        let asked = Instant::now();
        self.hive.call(Method::GET, path, None).await?;
        Ok(asked.elapsed().as_secs_f64() * 1000.0)
    }
}

/// The 99th percentiles of both, one question after the other.
async fn p99_of_both(
    many: &Side,
    few: &Side,
    path: fn(&Side, usize) -> String,
) -> Result<[f64; 2]> {
    let [mut of_many, mut of_few] = [const { Vec::new() }; 2];
    for question in 0..QUESTIONS {
        of_many.push(many.ask(&path(many, question)).await?);
        of_few.push(few.ask(&path(few, question)).await?);
    }
    Ok([&mut of_many, &mut of_few].map(|waits| quantile(waits, 0.99)))
}
