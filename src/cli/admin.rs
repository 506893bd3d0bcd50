//! `hivesync admin`: what the operator does at the machine.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use comfy_table::Table;
use comfy_table::presets::NOTHING;

use super::{login, operator, output};
use crate::clock::{Clock, SystemClock};
use crate::config::Secret;
use crate::domain::ProjectId;
use crate::domain::preview::PreviewStatus;
use crate::domain::user::Role;
use crate::error::{Context, Result};
use crate::services::operator::{
    Command, CreateUser, PreviewJobs, PreviewRows, PrintedLink, PrintedUser,
};
use crate::services::token;

#[derive(Subcommand, Debug)]
pub enum AdminVerb {
    /// Make an account; the password is asked for, or read from a file
    CreateUser(CreateUserArgs),
    /// Print the link that makes the first admin
    SetupLink(JsonArgs),
    /// Print a link that lets one person register
    Invite(JsonArgs),
    /// List the newest preview jobs
    PreviewJobs(PreviewJobsArgs),
    /// Show what the payload of a preview token says
    DecodePayload(DecodePayloadArgs),
}

#[derive(Args, Debug)]
pub struct JsonArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct CreateUserArgs {
    #[arg(long)]
    username: String,
    #[arg(long)]
    email: String,
    /// One of user, admin, support, developer and sysops
    #[arg(long, default_value = "user", value_parser = parse_role)]
    role: Role,
    /// Read the password from this file (`-` is standard input) instead of asking
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct PreviewJobsArgs {
    /// Only jobs of this status
    #[arg(long, value_parser = parse_status)]
    status: Option<PreviewStatus>,
    /// Only jobs of this project
    #[arg(long, value_name = "ID")]
    project: Option<i64>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct DecodePayloadArgs {
    /// The part of a token before its `.`; a full token is refused
    payload: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn parse_role(text: &str) -> std::result::Result<Role, String> {
    Role::parse(text).ok_or_else(|| format!("one of {}", Role::ALL.map(Role::as_str).join(", ")))
}

fn parse_status(text: &str) -> std::result::Result<PreviewStatus, String> {
    PreviewStatus::parse(text).ok_or_else(|| {
        let names = PreviewStatus::ALL.map(PreviewStatus::as_str);
        format!("one of {}", names.join(", "))
    })
}

#[must_use]
pub fn run(verb: AdminVerb) -> ExitCode {
    let done = match verb {
        AdminVerb::CreateUser(args) => create_user(args),
        AdminVerb::SetupLink(args) => link(Command::SetupLink, "Makes the first admin", &args),
        AdminVerb::Invite(args) => link(Command::Invite, "Lets one person register", &args),
        AdminVerb::PreviewJobs(args) => preview_jobs(&args),
        AdminVerb::DecodePayload(args) => decode_payload(&args),
    };
    super::finish(done.map(|()| ExitCode::SUCCESS))
}

fn create_user(args: CreateUserArgs) -> Result<()> {
    // Asked for before anything else, and never taken from an argument, which
    // every user of the machine could read.
    let password = new_password(&args)?;
    let command = Command::CreateUser(CreateUser {
        email: args.email,
        username: args.username,
        password: password.expose().to_owned(),
        role: args.role,
    });
    let user: PrintedUser = super::wait_for(operator::ask(command))?;
    if args.json {
        output::print_json(&user);
    } else {
        output::print(format_args!(
            "Made account {} <{}> with the role {}.",
            user.username,
            user.email,
            user.role.as_str()
        ));
    }
    Ok(())
}

fn new_password(args: &CreateUserArgs) -> Result<Secret> {
    if args.password_file.is_none() && std::io::stdin().is_terminal() {
        let password = dialoguer::Password::new()
            .with_prompt("Password")
            .with_confirmation("Again", "They differ.")
            .interact()
            .or_internal("ask for the password")?;
        return Ok(Secret::new(password));
    }
    let stdin = PathBuf::from("-");
    login::read_password(Some(args.password_file.as_ref().unwrap_or(&stdin)))
}

fn link(command: Command, what: &str, args: &JsonArgs) -> Result<()> {
    let link: PrintedLink = super::wait_for(operator::ask(command))?;
    if args.json {
        output::print_json(&link);
    } else {
        output::print(format_args!(
            "{what}, once, until {}:\n{}",
            link.expires_at.to_rfc3339(),
            link.url
        ));
    }
    Ok(())
}

fn preview_jobs(args: &PreviewJobsArgs) -> Result<()> {
    let command = Command::PreviewJobs(PreviewJobs {
        status: args.status,
        project: args.project.map(ProjectId),
        limit: usize::from(args.limit),
    });
    let rows: PreviewRows = super::wait_for(operator::ask(command))?;
    if args.json {
        output::print_json(&rows);
    } else if rows.previews.is_empty() {
        output::print("No previews. Request one with: hivesync preview");
    } else {
        output::print(table(&rows));
    }
    Ok(())
}

fn table(rows: &PreviewRows) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "JOB", "PROJECT", "PLATFORM", "REF", "COMMIT", "STATUS", "CREATED", "ERROR",
    ]);
    for row in &rows.previews {
        table.add_row([
            row.job_id.to_string(),
            row.project_id.to_string(),
            row.platform.clone(),
            row.git_ref.clone(),
            row.commit.chars().take(10).collect(),
            row.status.clone(),
            row.created_at.to_rfc3339(),
            row.error.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn decode_payload(args: &DecodePayloadArgs) -> Result<()> {
    let decoded = token::decode_payload(&args.payload, SystemClock.now())?;
    if args.json {
        output::print_json(&decoded);
        return Ok(());
    }
    for (field, value) in &decoded.payload {
        output::print(format_args!("{field:<8} {value}"));
    }
    let time = |at: Option<crate::clock::Timestamp>| {
        at.map_or_else(|| "unknown".to_owned(), crate::clock::Timestamp::to_rfc3339)
    };
    output::print(format_args!("issued   {}", time(decoded.issued_at)));
    output::print(format_args!("expires  {}", time(decoded.expires_at)));
    output::print(match decoded.expired {
        Some(true) => "The token has expired.",
        Some(false) => "The token has not expired.",
        None => "Whether it has expired cannot be told.",
    });
    Ok(())
}
