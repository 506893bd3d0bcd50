//! `hivesync preview` while it waits: what it says at once, and what becomes of
//! it when the server or its user go away.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use crate::preview::{client, login, run, start_with};
use crate::process::{DEADLINE, Home, Serving, end_of};

/// A client whose words are read as it says them.
struct Waiting {
    child: Child,
    told: Receiver<String>,
}

impl Waiting {
    /// For a build that nobody builds.
    fn on(home: &Home, server: &Serving, more: &[&str]) -> Self {
        login(home, server).expect(0);
        let arguments = [&["preview", "site", "--platform", "web"], more].concat();
        Self::start(client(home, server, &arguments))
    }

    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let pipe = child.stderr.take().expect("a pipe");
        // A pipe has no deadline of its own.
        let (sender, told) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                if sender.send(line.expect("text")).is_err() {
                    return;
                }
            }
        });
        Self { child, told }
    }

    /// The next line that holds `text`.
    fn until(&mut self, text: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.told.recv_timeout(DEADLINE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => before.push(line),
                Err(why) => panic!("no {text:?} in {before:#?}: {why}"),
            }
        }
    }

    /// How it ended, and what else it said.
    fn end(mut self) -> (ExitStatus, Vec<String>) {
        let mut rest = Vec::new();
        loop {
            match self.told.recv_timeout(DEADLINE) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it goes on after {rest:#?}"),
            }
        }
        let Some(status) = end_of(&mut self.child) else {
            panic!("it does not end after {rest:#?}")
        };
        (status, rest)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Gone already after its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_interrupted_wait_says_where_the_build_is_seen() {
    let (home, server) = start_with(&["serve", "--no-worker"]);
    let mut waiting = Waiting::on(&home, &server, &[]);
    waiting.until("web: queued");
    let pid = rustix::process::Pid::from_child(&waiting.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("sent");
    let (ended, rest) = waiting.end();
    let place = rest.iter().any(|line| line.contains("/t/"));
    assert!(place, "{ended}: {rest:#?}");
    assert_eq!(ended.code(), Some(130));
    server.stop();
}

#[test]
fn a_wait_begins_with_the_job_and_its_page_and_ends_in_time() {
    let (home, server) = start_with(&["serve", "--no-worker"]);
    let mut waiting = Waiting::on(&home, &server, &["--timeout", "1"]);
    waiting.until("web: job job_");
    let page = waiting.until("  page: ");
    assert!(page.contains(&format!("{}/t/", server.address)), "{page}");
    let (ended, rest) = waiting.end();
    let last = rest.last().expect("where to look");
    assert!(last.contains("/t/"), "{rest:#?}");
    let why = rest.iter().any(|line| line.contains("--timeout"));
    assert!(why, "{rest:#?}");
    assert_eq!(ended.code(), Some(124));
    server.stop();
}

#[test]
fn a_program_reads_of_what_it_no_longer_waits_for() {
    let (home, server) = start_with(&["serve", "--no-worker"]);
    login(&home, &server).expect(0);
    let arguments = ["preview", "site", "--json", "--timeout", "1"];
    let told = run(client(&home, &server, &arguments)).expect(124).json();
    let job = told["previews"][0]["job_id"].as_str();
    assert!(job.is_some_and(|id| id.starts_with("job_")), "{told:#}");
    server.stop();
}

#[test]
fn a_wait_outlives_the_server_and_ends_with_the_build() {
    let (home, server) = start_with(&["serve", "--no-worker"]);
    let mut waiting = Waiting::on(&home, &server, &[]);
    waiting.until("web: queued");
    let address = server.address.clone();
    server.stop();
    let why = waiting.until("trying again");
    assert!(why.contains(&address), "{why}");

    // A server that knows how to build, at the same address.
    let mut again = home.command(&["serve"]);
    let port = address.rsplit(':').next().expect("a port");
    again.env("PORT", port);
    let server = Serving::start(again);
    assert_eq!(server.address, address);
    waiting.until("web: the server answers again");
    let (ended, rest) = waiting.end();
    assert!(ended.success(), "{ended}: {rest:#?}");
    server.stop();
}
