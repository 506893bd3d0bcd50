//! The command line: one binary, a file for each verb.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 124 not ended in time, 130 no
//! longer waited for; `health` answers 0, 1 or 2 for ok, degraded and fail.

pub mod admin;
pub mod client;
pub mod config;
pub mod connection;
pub mod credentials;
mod events;
mod excerpt;
pub mod follow;
pub mod health;
pub mod jobs;
pub mod logging;
pub mod login;
pub mod manual;
pub mod operator;
mod outcome;
pub mod output;
pub mod pack;
mod platform;
pub mod preview;
mod project;
pub mod projects;
pub mod qr;
mod requested;
pub mod serve;
mod source;
mod upload;
mod workspace;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use rustix::fs::Mode;

use crate::bundle::sandbox::launcher;
use crate::error::{Error, Result};

/// Previews of React Native, Expo and web projects, from one binary and one
/// data folder.
#[derive(Parser, Debug)]
#[command(name = "hivesync", version, propagate_version = true)]
#[command(after_help = "Start with: hivesync serve\nSettings: hivesync config show")]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Run the server: HTTP and the workers that build
    Serve(serve::ServeArgs),
    /// Show or check the settings
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Say whether the server on this data folder is well (exit 0, 1 or 2)
    Health(health::HealthArgs),
    /// Administer the server on this data folder
    #[command(subcommand)]
    Admin(admin::AdminVerb),
    /// Upload this folder or name a ref, and get it previewed
    Preview(preview::PreviewArgs),
    /// List, show and change projects
    #[command(subcommand)]
    Project(projects::ProjectVerb),
    /// End a build that is queued or runs
    Cancel(jobs::JobArgs),
    /// Queue a build again that has failed or was cancelled
    Retry(jobs::JobArgs),
    /// Log in to a server and keep an API token for this machine
    Login(login::LoginArgs),
    /// Delete this machine's API token, here and on the server
    Logout(login::LogoutArgs),
    /// Print the completions of a shell
    Completions(manual::CompletionsArgs),
    /// Print the man page, or write one for each command into a folder
    Man(manual::ManArgs),
}

#[derive(Subcommand, Debug)]
enum ConfigVerb {
    /// Print every setting with its source; secrets are hidden
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Fail when a server could not start like this, or a name is unknown
    Check {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|verb| verb == launcher::VERB) {
        return launcher::main(words);
    }
    // Whatever is written, by sled, redb or git too, is for our uid alone.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let cli = Cli::parse_from(arguments(std::env::args_os()));
    match cli.command {
        Verb::Serve(args) => serve::run(&args),
        Verb::Config(ConfigVerb::Show { json }) => config::show(json),
        Verb::Config(ConfigVerb::Check { json }) => config::check(json),
        Verb::Health(args) => health::run(&args),
        Verb::Admin(verb) => admin::run(verb),
        Verb::Preview(args) => finish(wait_for(preview::run(args))),
        Verb::Project(verb) => finish(wait_for(projects::run(verb))),
        Verb::Cancel(args) => finish(wait_for(jobs::cancel(args))),
        Verb::Retry(args) => finish(wait_for(jobs::retry(args))),
        Verb::Login(args) => finish(wait_for(login::login(args)).map(|()| ExitCode::SUCCESS)),
        Verb::Logout(args) => finish(wait_for(login::logout(args)).map(|()| ExitCode::SUCCESS)),
        Verb::Completions(args) => finish(manual::completions(&args)),
        Verb::Man(args) => finish(manual::man(&args)),
    }
}

/// The arguments, with the verb that a link's name stands for, and with
/// `-json` as people also write it.
fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = given
        .map(|argument| {
            if argument == "-json" {
                "--json".into()
            } else {
                argument
            }
        })
        .collect();
    let verb = arguments
        .first()
        .map(Path::new)
        .and_then(Path::file_name)
        .and_then(OsStr::to_str)
        .and_then(|name| name.strip_prefix("hivesync-"))
        .filter(|verb| matches!(*verb, "health" | "admin"))
        .map(OsString::from);
    if let Some(verb) = verb {
        // Usage lines begin with this: `hivesync health`, not
        // `hivesync-health health`.
        arguments[0] = "hivesync".into();
        arguments.insert(1, verb);
    }
    arguments
}

/// The exit code of a command, its failure told on stderr.
fn finish(outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        output::fail(&error);
        ExitCode::FAILURE
    })
}

/// Runs a client's command to its end.
fn wait_for<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::internal("could not start the runtime").caused_by(e))?;
    let outcome = runtime.block_on(command);
    // A read of a terminal that nobody answers must not hold the exit.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

/// The whole command tree, for completions and man pages.
fn tree() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(given: &[&str]) -> Vec<String> {
        arguments(given.iter().map(OsString::from))
            .into_iter()
            .map(|word| word.into_string().expect("text"))
            .collect()
    }

    #[test]
    fn links_stand_for_their_verb() {
        assert_eq!(
            words(&["/usr/bin/hivesync-health", "-json"]),
            ["hivesync", "health", "--json"]
        );
        assert_eq!(
            words(&["hivesync-admin", "invite"]),
            ["hivesync", "admin", "invite"]
        );
        assert_eq!(words(&["hivesync", "serve"]), ["hivesync", "serve"]);
        assert_eq!(words(&["hivesync-other"]), ["hivesync-other"]);
    }

    #[test]
    fn the_command_tree_is_sound() {
        tree().debug_assert();
    }
}
