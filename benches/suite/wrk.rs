//! Load by wrk: one thread, so that the other core is the server's, 64
//! connections that are kept.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::process::Command;

use crate::Result;
use crate::process::run;

const SECONDS: u32 = 4;

pub(crate) struct Load {
    url: String,
    connections: u32,
    script: Option<PathBuf>,
}

/// What came back in a second.
pub(crate) struct Rates {
    pub(crate) requests: f64,
    pub(crate) megabytes: f64,
}

impl Load {
    pub(crate) fn new(address: SocketAddr, path: &str) -> Self {
        Self {
            url: format!("http://{address}{path}"),
            connections: 64,
            script: None,
        }
    }

    pub(crate) fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    pub(crate) fn script(mut self, script: PathBuf) -> Self {
        self.script = Some(script);
        self
    }

    /// # Errors
    /// Also when an answer was no success, which would be a quick one.
    pub(crate) async fn run(&self) -> Result<Rates> {
        let printed = self.print().await?;
        if printed.contains("Non-2xx") {
            return Err(format!("{} did not answer well:\n{printed}", self.url).into());
        }
        rates(&printed)
    }

    /// The same where refusals are what is expected.
    pub(crate) async fn run_refused(&self) -> Result<Rates> {
        rates(&self.print().await?)
    }

    async fn print(&self) -> Result<String> {
        let mut command = Command::new("wrk");
        command.args([
            "-t1",
            &format!("-c{}", self.connections),
            &format!("-d{SECONDS}s"),
        ]);
        if let Some(script) = &self.script {
            command.arg("-s").arg(script);
        }
        run(command.arg(&self.url)).await
    }
}

fn rates(printed: &str) -> Result<Rates> {
    let value = |name: &str| -> Option<&str> {
        let mut lines = printed.lines();
        lines.find_map(|line| Some(line.trim().strip_prefix(name)?.trim()))
    };
    let requests = value("Requests/sec:").and_then(|text| text.parse().ok());
    let bytes = value("Transfer/sec:").and_then(megabytes);
    match (requests, bytes) {
        (Some(requests), Some(megabytes)) => Ok(Rates {
            requests,
            megabytes,
        }),
        _ => Err(format!("wrk printed something else:\n{printed}").into()),
    }
}

/// wrk's `1.25GB`, in MB.
fn megabytes(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "B" => 1e-6,
        "KB" => 1024e-6,
        "MB" => 1_048_576e-6,
        "GB" => 1_073_741_824e-6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}
