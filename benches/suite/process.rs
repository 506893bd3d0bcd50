//! Processes that a part starts and does not leave behind.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::Result;

/// How long a process may take to be there, or to be gone.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process of this run. Dropping it asks it to end.
pub(crate) struct Process {
    name: String,
    child: Child,
    pub(crate) lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Process {
    /// Starts it, its stdout a pipe to read lines from.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        Self::spawn(name, command.stdout(Stdio::piped()))
    }

    /// Starts it with its stdout in a file, as a service's log is.
    pub(crate) fn start_logged(
        name: &str,
        command: &mut Command,
        log: &std::path::Path,
    ) -> Result<Self> {
        let file = std::fs::File::create(log)?;
        Self::spawn(name, command.stderr(file.try_clone()?).stdout(file))
    }

    fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .spawn()
            .map_err(|e| format!("{name} could not be started: {e}"))?;
        let lines = child.stdout.take().map(|out| BufReader::new(out).lines());
        Ok(Self {
            name: name.to_owned(),
            child,
            lines,
        })
    }

    /// The next line of its stdout.
    pub(crate) async fn line(&mut self) -> Result<String> {
        let lines = self.lines.as_mut().ok_or("its stdout is no pipe")?;
        match tokio::time::timeout(PATIENCE * 3, lines.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => Err(format!("{} ended early", self.name).into()),
            Ok(Err(e)) => Err(e.into()),
            Err(_) => Err(format!("{} said nothing for minutes", self.name).into()),
        }
    }

    /// The next line that is JSON: some log on stdout, too.
    pub(crate) async fn json(&mut self) -> Result<serde_json::Value> {
        loop {
            let line = self.line().await?;
            if line.starts_with('{') {
                return Ok(serde_json::from_str(&line)?);
            }
        }
    }

    pub(crate) fn id(&self) -> Result<u32> {
        Ok(self
            .child
            .id()
            .ok_or_else(|| format!("{} has ended", self.name))?)
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.terminate();
        if tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .is_err()
        {
            self.child.kill().await?;
            return Err(format!("{} did not stop", self.name).into());
        }
        Ok(())
    }

    fn terminate(&self) {
        if let Some(pid) = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
        {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Ends it without a word.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Waits until it accepts connections.
    pub(crate) async fn listens(&mut self, address: SocketAddr) -> Result<()> {
        let began = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended: {status}", self.name).into());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{} does not listen at {address}", self.name).into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

/// For a part that failed: what has processes of its own, such as nginx, ends
/// them only when it is asked.
impl Drop for Process {
    fn drop(&mut self) {
        self.terminate();
    }
}

/// Runs a command to its end; what it prints is shown only if it fails.
pub(crate) async fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!(
        "{} failed ({}):\n{}{}",
        command.as_std().get_program().display(),
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
    .into())
}

/// An address on loopback that is free now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A process's own resident memory and that of its children, in MB: shared
/// pages are divided among those who share them.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let own: f64 = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .ok_or("no Pss in smaps_rollup")?;
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let mut all = own / 1024.0;
    for child in children.split_whitespace() {
        // A child may be gone by now.
        all += resident(child.parse()?).unwrap_or(0.0);
    }
    Ok(all)
}
