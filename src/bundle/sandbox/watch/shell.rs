//! A shell that the tests of the watch look at.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;

/// A shell that has run `script` and waits for its input to end.
pub(super) fn after(script: &str) -> (Child, Pid) {
    let mut shell = Command::new("bash")
        .args(["-c", &format!("{script}\necho ready; read end")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    let out = shell.stdout.as_mut().expect("its output");
    BufReader::new(out).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    let pid = Pid::from_child(&shell);
    (shell, pid)
}
