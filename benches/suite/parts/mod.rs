//! The parts of the bench, in the order in which they run.

mod download;
mod expo;
mod memory;
mod pickup;
mod queue;
mod scale;
mod start;
mod token;

use std::future::Future;
use std::pin::Pin;

use crate::Result;
use crate::report::Report;

type Run = for<'a> fn(&'a mut Report) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: Run,
}

const PARTS: &[Part] = &[
    Part {
        name: "queue",
        about: "durable enqueue, claim and complete in the process",
        run: |report| Box::pin(queue::run(report)),
    },
    Part {
        name: "queue-http",
        about: "the same through HTTP, beside other queues",
        run: |report| Box::pin(queue::run_http(report)),
    },
    Part {
        name: "pickup",
        about: "from enqueueing to an idle worker's beginning",
        run: |report| Box::pin(pickup::run(report)),
    },
    Part {
        name: "token",
        about: "issuing and checking preview tokens",
        run: |report| Box::pin(token::run(report)),
    },
    Part {
        name: "download",
        about: "handing bundles out",
        run: |report| Box::pin(download::run(report)),
    },
    Part {
        name: "memory",
        about: "resident memory, idle and after a storm",
        run: |report| Box::pin(memory::run(report)),
    },
    Part {
        name: "start",
        about: "from the start of the process to its first answer",
        run: |report| Box::pin(start::run(report)),
    },
    Part {
        name: "scale",
        about: "status and lists with a million jobs stored",
        run: |report| Box::pin(scale::run(report)),
    },
    Part {
        name: "expo",
        about: "previews, beside npm and the Expo command line by hand",
        run: |report| Box::pin(expo::run(report)),
    },
];

/// The parts that were asked for, all of them if none was.
pub(crate) fn choose(wanted: &[String]) -> Result<Vec<&'static Part>> {
    let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("there is no part {unknown}; there are {}", names.join(", ")).into());
    }
    Ok(PARTS
        .iter()
        .filter(|part| wanted.is_empty() || wanted.iter().any(|name| name == part.name))
        .collect())
}

/// How often ours and the peer's take turns.
const ROUNDS: usize = 3;

/// The middle one; of an even number the upper middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value that `share` of the values do not exceed.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an index into a few thousand values"
    )]
    let index = (values.len() as f64 * share) as usize;
    values
        .get(index.min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
