//! `hivesync login` and `hivesync logout`: an API token for this machine.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::Client;
use super::credentials::Credentials;
use super::output;
use crate::config::Secret;
use crate::error::{Context, Error, Result};

/// Where a bare `hivesync serve` listens.
pub const LOCAL_SERVER: &str = "http://127.0.0.1:4000";

#[derive(Args, Debug)]
pub struct LoginArgs {
    /// Address of the server
    #[arg(long, env = "HIVESYNC_SERVER", default_value = LOCAL_SERVER)]
    server: String,
    /// Username or e-mail address
    #[arg(long, short)]
    username: Option<String>,
    /// Read the password from this file (`-` is standard input) instead of asking
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct LogoutArgs {
    /// Address of the server
    #[arg(long, env = "HIVESYNC_SERVER")]
    server: Option<String>,
}

#[derive(Deserialize)]
struct LoginAnswer {
    token: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id: i64,
    token: String,
}

pub async fn login(args: LoginArgs) -> Result<()> {
    let username = match args.username {
        Some(name) => name,
        None if !std::io::stdin().is_terminal() => {
            return Err(Error::invalid(
                "username",
                "there is no terminal to ask at; give --username and --password-file (`-` is \
                 standard input), or put an API token into HIVESYNC_TOKEN",
            ));
        }
        None => dialoguer::Input::new()
            .with_prompt("Username or e-mail")
            .interact_text()
            .or_internal("ask for the username; name it with --username")?,
    };
    let password = read_password(args.password_file.as_deref())?;
    let anonymous = Client::new(&args.server, None)?;
    let session: LoginAnswer = anonymous
        .post(
            "/auth/login",
            &json!({"username_or_email": username, "password": password.expose()}),
        )
        .await?;
    // The session only makes the token: it ends here, the token stays until
    // it is deleted.
    let client = anonymous.with_token(Secret::new(session.token));
    let name = format!("hivesync login on {}", host_name());
    let made: TokenAnswer = client
        .post("/auth/tokens", &json!({"name": name, "scope": "full"}))
        .await?;
    client
        .send(client.request(Method::POST, "/auth/logout"))
        .await?;
    let token = Secret::new(made.token);
    Credentials::load(&config_home()?)?.remember(client.server(), &username, &token, made.id)?;
    output::print(format_args!(
        "Logged in to {} as {username}.",
        client.server()
    ));
    Ok(())
}

pub async fn logout(args: LogoutArgs) -> Result<()> {
    let mut credentials = Credentials::load(&config_home()?)?;
    let server = args
        .server
        .or_else(|| credentials.default_server().map(str::to_owned))
        .ok_or_else(|| Error::invalid("server", "nobody is logged in"))?;
    let server = server.trim_end_matches('/');
    let (Some(token), Some(id)) = (credentials.token(server), credentials.token_id(server)) else {
        return Err(Error::invalid(
            "server",
            format!("nobody is logged in to {server}"),
        ));
    };
    let client = Client::new(server, Some(token))?;
    let deleted = client
        .send(client.request(Method::DELETE, &format!("/auth/tokens/{id}")))
        .await;
    credentials.forget(server)?;
    match deleted {
        Ok(_) => output::print(format_args!("Logged out of {server}.")),
        Err(e) => output::print(format_args!(
            "Forgot the token of {server}; it could not be deleted there: {e}"
        )),
    }
    Ok(())
}

/// A password from a file, from standard input, or asked for at the terminal;
/// never from an argument.
pub fn read_password(file: Option<&Path>) -> Result<Secret> {
    let text = match file {
        Some(path) if path == Path::new("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .or_internal("read the password")?;
            text
        }
        Some(path) => read_file("password_file", path)?,
        None if std::io::stdin().is_terminal() => dialoguer::Password::new()
            .with_prompt("Password")
            .interact()
            .or_internal("ask for the password")?,
        None => {
            return Err(Error::invalid(
                "password",
                "there is no terminal to ask for the password; give it with --password-file",
            ));
        }
    };
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// A file that the command line names.
///
/// # Errors
/// `INVALID_INPUT` for `field` when it cannot be read.
pub fn read_file(field: &str, path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|e| Error::invalid(field, format!("cannot read {}: {e}", path.display())))
}

/// `$XDG_CONFIG_HOME`, else `~/.config` (XDG Base Directory Specification).
pub fn config_home() -> Result<PathBuf> {
    let from = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    from("XDG_CONFIG_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".config")))
        .ok_or_else(|| Error::internal("neither XDG_CONFIG_HOME nor HOME is set"))
}

fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
