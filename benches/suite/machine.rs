//! What the figures were measured on.

use std::fmt;
use std::process::Command;

use crate::peers;

/// The machine, and the versions of everything that takes part.
pub(crate) struct Machine {
    lines: Vec<String>,
}

pub(crate) fn describe() -> Machine {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let system = rustix::system::uname();
    let mut lines = vec![
        format!(
            "{cores} cores ({}), {} GB of memory, {}",
            field("/proc/cpuinfo", "model name"),
            memory() >> 20,
            field("/etc/os-release", "PRETTY_NAME").trim_matches('"'),
        ),
        format!(
            "Linux {}, {}",
            system.release().to_string_lossy(),
            first_line("rustc", &["--version"])
        ),
        format!(
            "load at the start: {}",
            std::fs::read_to_string("/proc/loadavg")
                .unwrap_or_default()
                .split(' ')
                .take(3)
                .collect::<Vec<_>>()
                .join(" ")
        ),
        format!("HiveSync {}", env!("CARGO_PKG_VERSION")),
    ];
    for (program, arguments) in [
        ("redis-server", "--version"),
        ("nginx", "-v"),
        ("node", "--version"),
        ("npm", "--version"),
        ("python3", "--version"),
        ("wrk", "-v"),
    ] {
        lines.push(format!("{program}: {}", first_line(program, &[arguments])));
    }
    if let Ok(postgres) = crate::engines::postgres_folder() {
        let program = postgres.join("postgres");
        let version = first_line(&program.to_string_lossy(), &["--version"]);
        lines.push(format!("postgres: {version}"));
    }
    lines.extend(peers::versions());
    Machine { lines }
}

/// The value after `name` and `:` or `=` in a file of the system.
fn field(path: &str, name: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .find_map(|line| {
            let rest = line.strip_prefix(name)?.trim_start();
            Some(rest.strip_prefix([':', '='])?.trim().to_owned())
        })
        .unwrap_or_else(|| "unknown".to_owned())
}

/// All memory, in KiB.
fn memory() -> u64 {
    field("/proc/meminfo", "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or(0)
}

/// The first line that a program prints, on either stream.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else {
        return "not installed".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text)
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "- {line}")?;
        }
        Ok(())
    }
}
