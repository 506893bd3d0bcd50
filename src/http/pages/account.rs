//! The two forms that make an account: the first admin's, and a person's with
//! an invite or open registration. They work without scripts.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::{Frame, failure, render};
use crate::config::{Registration, Secret};
use crate::error::{Code, Error, Result};
use crate::http::AppState;
use crate::http::error::status_of;
use crate::http::extract::{ClientAddr, Query};
use crate::services::auth::accounts::{self, NewAccount};
use crate::services::auth::input::PASSWORD_MIN_CHARS;
use crate::services::auth::setup;

/// What the form sends. `token` is the secret of the link that opened it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AccountForm {
    token: String,
    email: String,
    username: String,
    password: String,
}

impl AccountForm {
    fn account(&self) -> NewAccount {
        NewAccount {
            email: self.email.clone(),
            username: self.username.clone(),
            password: Secret::new(self.password.as_str()),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct SetupQuery {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
pub(super) struct RegisterQuery {
    #[serde(default)]
    invite: String,
}

/// Which of the two accounts is made.
#[derive(Clone, Copy)]
enum Kind {
    FirstAdmin,
    Person,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    frame: &'a Frame,
    title: &'a str,
    intro: &'a str,
    action: &'a str,
    submit: &'a str,
    password_min: usize,
    form: &'a AccountForm,
    problem: Option<&'a Error>,
}

impl AccountPage<'_> {
    fn is_wrong(&self, field: &str) -> bool {
        self.problem.is_some_and(|error| {
            let of_code = match error.code {
                Code::EmailTaken => Some("email"),
                Code::UsernameTaken => Some("username"),
                _ => error.details.get("field").and_then(|v| v.as_str()),
            };
            of_code == Some(field)
        })
    }
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct Welcome<'a> {
    frame: &'a Frame,
    server: &'a str,
    username: &'a str,
}

fn form_page(frame: &Frame, kind: Kind, form: &AccountForm, problem: Option<&Error>) -> Response {
    let (title, intro, action, submit) = match kind {
        Kind::FirstAdmin => (
            "Set this server up",
            "This makes the first admin. The link that brought you here works once.",
            "/setup",
            "Create the admin account",
        ),
        Kind::Person => (
            "Create an account",
            "With it you preview projects on this server and share them.",
            "/register",
            "Create the account",
        ),
    };
    let status = problem.map_or(StatusCode::OK, |error| status_of(error.code));
    render(
        status,
        &AccountPage {
            frame,
            title,
            intro,
            action,
            submit,
            password_min: PASSWORD_MIN_CHARS,
            form,
            problem,
        },
    )
}

/// The answer to a sent form: welcome, the form again with what is wrong with
/// the input, or the reason why nobody may send it.
fn answer(frame: &Frame, kind: Kind, form: &AccountForm, result: Result<String>) -> Response {
    match result {
        Ok(username) => render(
            StatusCode::CREATED,
            &Welcome {
                frame,
                server: &frame.server,
                username: &username,
            },
        ),
        Err(error)
            if matches!(
                error.code,
                Code::InvalidInput
                    | Code::EmailTaken
                    | Code::UsernameTaken
                    | Code::RateLimitExceeded
            ) =>
        {
            form_page(frame, kind, form, Some(&error))
        }
        Err(error) => failure(frame, error),
    }
}

pub(super) async fn show_setup(
    State(app): State<AppState>,
    frame: Frame,
    Query(query): Query<SetupQuery>,
) -> Response {
    let form = AccountForm {
        token: query.token,
        ..AccountForm::default()
    };
    match setup::check_setup(&app, &form.token).await {
        Ok(()) => form_page(&frame, Kind::FirstAdmin, &form, None),
        Err(error) => failure(&frame, error),
    }
}

pub(super) async fn set_up(
    State(app): State<AppState>,
    frame: Frame,
    ClientAddr(from): ClientAddr,
    form: Result<axum::Form<AccountForm>, axum::extract::rejection::FormRejection>,
) -> Response {
    let Ok(axum::Form(form)) = form else {
        return failure(&frame, not_a_form());
    };
    let made = setup::set_up(&app, from, &form.token, form.account()).await;
    let made = made.map(|login| login.user.username);
    answer(&frame, Kind::FirstAdmin, &form, made)
}

pub(super) async fn show_register(
    State(app): State<AppState>,
    frame: Frame,
    Query(query): Query<RegisterQuery>,
) -> Response {
    let form = AccountForm {
        token: query.invite,
        ..AccountForm::default()
    };
    let open = app.config.accounts.registration == Registration::Open;
    if !(open && form.token.is_empty())
        && let Err(error) = setup::check_invite(&app, &form.token).await
    {
        return failure(&frame, error);
    }
    form_page(&frame, Kind::Person, &form, None)
}

pub(super) async fn register(
    State(app): State<AppState>,
    frame: Frame,
    ClientAddr(from): ClientAddr,
    form: Result<axum::Form<AccountForm>, axum::extract::rejection::FormRejection>,
) -> Response {
    let Ok(axum::Form(form)) = form else {
        return failure(&frame, not_a_form());
    };
    let invite = Some(form.token.as_str()).filter(|token| !token.is_empty());
    let made = accounts::register(&app, from, form.account(), invite).await;
    let made = made.map(|login| login.user.username);
    answer(&frame, Kind::Person, &form, made)
}

fn not_a_form() -> Error {
    Error::new(
        Code::BadRequest,
        "the form did not arrive whole; go back and send it again",
    )
}
