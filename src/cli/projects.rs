//! `hivesync project`: the projects there are, and what their builds may do.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::connection::Connection;
use super::output::{print, print_json};
use super::project::{self, Fit, Wanted};
use crate::error::Result;

#[derive(Subcommand, Debug)]
pub enum ProjectVerb {
    /// List your own projects and those shared with you
    List(ListArgs),
    /// Show where a project's commits come from and how it is built
    Show(ShowArgs),
    /// Change a project: `install_scripts=true`, `root=apps/web`, `kind=static` and the like
    #[command(
        after_help = "The keys: name, kind, root, entry_file, build_script, output_dir, \
                            install_scripts; for admins also trusted. KEY= resets a key, so that \
                            it is found from the files again."
    )]
    Set(SetArgs),
}

#[derive(Args, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    connection: Connection,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Name or id of the project. Default: the folder's name
    project: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct SetArgs {
    /// What to change
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, Value)>,
    /// Name or id of the project. Default: the folder's name
    #[arg(long)]
    project: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What the server takes for `KEY=VALUE`.
fn parse_setting(text: &str) -> std::result::Result<(String, Value), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or("write KEY=VALUE, such as install_scripts=true")?;
    let value = match (key, value) {
        (_, "") => Value::Null,
        ("install_scripts" | "trusted", "true" | "false") => json!(value == "true"),
        _ => json!(value),
    };
    Ok((key.to_owned(), value))
}

/// The body of the change: what is no key of the project itself is one of its
/// configuration, and the server says whether there is such a one.
fn change(settings: &[(String, Value)]) -> Value {
    let mut body = Map::new();
    let mut config = Map::new();
    for (key, value) in settings {
        let place = match key.as_str() {
            "name" | "trusted" => &mut body,
            _ => &mut config,
        };
        place.insert(key.clone(), value.clone());
    }
    if !config.is_empty() {
        body.insert("config".to_owned(), Value::Object(config));
    }
    Value::Object(body)
}

/// # Errors
/// What the server refuses.
pub async fn run(verb: ProjectVerb) -> Result<ExitCode> {
    match verb {
        ProjectVerb::List(args) => list(&args).await?,
        ProjectVerb::Show(args) => {
            let client = args.connection.client()?;
            let path = path_of(&client, args.project.as_deref()).await?;
            show(&client.get(&path).await?, args.json);
        }
        ProjectVerb::Set(args) => {
            let client = args.connection.client()?;
            let path = path_of(&client, args.project.as_deref()).await?;
            let request = client.request(Method::PATCH, &path);
            let changed = client.json(request.json(&change(&args.settings))).await?;
            show(&changed, args.json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn path_of(client: &Client, named: Option<&str>) -> Result<String> {
    let wanted = Wanted {
        project: named,
        folder: Path::new("."),
        fit: Fit::Any,
    };
    let project = project::find(client, &wanted).await?;
    Ok(format!("/projects/{}", project.id))
}

async fn list(args: &ListArgs) -> Result<()> {
    let client = args.connection.client()?;
    let projects: Vec<Value> = project::all(&client).await?;
    if args.json {
        print_json(&json!({"projects": projects}));
        return Ok(());
    }
    if projects.is_empty() {
        print("There is no project yet; in the folder of one: hivesync preview");
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["ID", "NAME", "SOURCE", "SET"]);
    for project in &projects {
        let set: Vec<String> = settings(project)
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        table.add_row([
            plain(&project["id"]),
            plain(&project["name"]),
            plain(&project["source"]["kind"]),
            set.join(" "),
        ]);
    }
    print(table.trim_fmt());
    Ok(())
}

fn show(project: &Value, json: bool) {
    if json {
        print_json(project);
        return;
    }
    print(format_args!(
        "project {} ({})",
        plain(&project["name"]),
        plain(&project["id"])
    ));
    let source = &project["source"];
    let place = ["url", "path"]
        .iter()
        .find_map(|key| source.get(key))
        .map_or_else(String::new, |place| format!(" {}", plain(place)));
    print(format_args!("source = {}{place}", plain(&source["kind"])));
    for (key, value) in settings(project) {
        print(format_args!("{key} = {value}"));
    }
}

/// What is not as it is without anybody's saying.
fn settings(project: &Value) -> Vec<(String, String)> {
    let config = project["config"].as_object();
    let trusted = ("trusted".to_owned(), &project["trusted"]);
    config
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value))
        .chain([trusted])
        .filter(|(_, value)| !value.is_null() && **value != json!(false))
        .map(|(key, value)| (key, plain(value)))
        .collect()
}

/// A value as a person reads it, on a terminal that it must not steer.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.replace(char::is_control, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_goes_where_the_server_takes_it() {
        let words = ["install_scripts=true", "root=", "kind=web", "trusted=false"];
        let settings: Vec<_> = words.map(|word| parse_setting(word).unwrap()).into();
        assert_eq!(
            change(&settings),
            json!({
                "trusted": false,
                "config": {"install_scripts": true, "root": null, "kind": "web"},
            })
        );
        assert!(parse_setting("root").is_err());
        assert!(parse_setting("=x").is_err());
    }
}
