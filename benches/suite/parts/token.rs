//! Requests a second that sign a preview token and check it again, beside a
//! bare hyper handler that answers the same bytes; both asked by wrk.
//!
//! The second line is the whole of `POST /api/v1/preview/token`, with login,
//! limit, project and git ref. It has no peer, and nothing is asked of it.

use std::net::SocketAddr;

use tokio::process::Command;

use super::queue::QueueServer;
use super::{ROUNDS, median};
use crate::Result;
use crate::process::{Process, run as run_command};
use crate::report::{Better, Figure, Reach, Report};
use crate::wrk::Load;

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let ours = QueueServer::start().await?;
    let path = "/bench/token";
    let body = run_command(
        Command::new("curl")
            .args(["-sSf"])
            .arg(format!("http://{}{path}", ours.address)),
    )
    .await?;
    let mut command = Command::new(std::env::current_exe()?);
    let mut bare = Process::start("bare hyper", command.arg("serve-bare").env("BODY", &body))?;
    let bare_address: SocketAddr = bare.line().await?.parse()?;
    let [mut signed, mut answered] = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        signed.push(Load::new(ours.address, path).run().await?.requests);
        answered.push(Load::new(bare_address, path).run().await?.requests);
    }
    bare.stop().await?;
    ours.stop().await?;
    report.add(
        Figure::new(
            "token issue and verify",
            "requests/s",
            Better::Higher,
            median(signed),
        )
        .beside("bare hyper", median(answered))
        .reach(Reach::Times(0.6)),
    );
    Ok(())
}
