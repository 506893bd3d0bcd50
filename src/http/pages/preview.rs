//! The page behind a preview's link: what it is, its QR code, its build as it
//! goes, and what came of it.
//!
//! Looking at the page starts nothing, because messengers fetch links to show
//! what is behind them; a person presses the button.

use std::fmt::Write;

use askama::Template;
use axum::extract::State;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use qrcode::{Color, EcLevel, QrCode};

use super::{Frame, POLICY, failure, render};
use crate::app::App;
use crate::domain::preview::{Platform, Stage};
use crate::error::{Context, Result};
use crate::http::AppState;
use crate::http::extract::{Path, phone_url};
use crate::services::previews::issue::{self, TokenView};

#[derive(Template)]
#[template(path = "preview.html")]
struct PreviewPage<'a> {
    frame: &'a Frame,
    view: &'a TokenView,
    /// The ref, a commit in short.
    what: &'a str,
    expires: String,
    /// Inline SVG.
    qr: String,
    /// What the QR code says.
    address: String,
    stages: [(Stage, &'static str); 5],
    is_web: bool,
}

const STAGES: [(Stage, &str); 5] = [
    (Stage::Checkout, "Checkout"),
    (Stage::Dependencies, "Dependencies"),
    (Stage::Bundle, "Bundle"),
    (Stage::Package, "Package"),
    (Stage::Upload, "Store"),
];

pub(super) async fn show(
    State(app): State<AppState>,
    frame: Frame,
    Path(token): Path<String>,
) -> Response {
    match page(&app, &frame, &token).await {
        Ok(response) => response,
        Err(error) => failure(&frame, error),
    }
}

async fn page(app: &App, frame: &Frame, token: &str) -> Result<Response> {
    let view = issue::view(app, token).await?;
    let address = format!("{}/t/{token}", phone_url(app, &frame.server));
    let page = PreviewPage {
        frame,
        what: shown_ref(&view.token.git_ref),
        expires: view.token.facts.expires_at.to_rfc3339(),
        qr: draw(&address)?,
        address,
        stages: STAGES,
        is_web: view.token.platform == Platform::Web,
        view: &view,
    };
    let mut response = render(StatusCode::OK, &page);
    let policy = format!("{POLICY}; frame-src {}", frame_sources(app, frame));
    let policy = HeaderValue::from_str(&policy).or_internal("set a page's policy")?;
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

/// A commit by as many letters as people tell commits apart by.
fn shown_ref(git_ref: &str) -> &str {
    let is_commit =
        matches!(git_ref.len(), 40 | 64) && git_ref.bytes().all(|b| b.is_ascii_hexdigit());
    if is_commit { &git_ref[..10] } else { git_ref }
}

/// Where web previews are shown from.
fn frame_sources(app: &App, frame: &Frame) -> String {
    let Some(host) = &app.config.previews.host else {
        return "'self'".to_owned();
    };
    let server = url::Url::parse(&frame.server).ok();
    let scheme = server.as_ref().map_or("https", |url| url.scheme());
    let port = server
        .as_ref()
        .and_then(url::Url::port)
        .map_or_else(String::new, |port| format!(":{port}"));
    // The way there leads over `/p/…` of this server.
    format!("'self' {scheme}://*.{host}{port}")
}

/// What scanners want to see around a code, in modules (ISO/IEC 18004).
const QUIET: usize = 4;

/// A QR code as SVG, black on white in every theme: scanners need it so. Dark
/// modules that lie side by side are one part of the path.
fn draw(text: &str) -> Result<String> {
    let code =
        QrCode::with_error_correction_level(text, EcLevel::L).or_internal("draw a QR code")?;
    let width = code.width();
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|left, right| left == right) {
            if run[0] == Color::Dark {
                let (x, y, long) = (x + QUIET, y + QUIET, run.len());
                let _ = write!(path, "M{x} {y}h{long}v1h-{long}z");
            }
            x += run.len();
        }
    }
    let side = width + 2 * QUIET;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}h-{side}z\"/>\
         <path fill=\"#000\" d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_commit_is_cut() {
        assert_eq!(shown_ref(&"e7077e7ebd".repeat(4)), "e7077e7ebd");
        for name in ["v1.4", "e7077e7ebd", &"x".repeat(40)] {
            assert_eq!(shown_ref(name), name);
        }
    }

    #[test]
    fn the_code_is_an_element_to_stand_in_a_page() {
        let svg = draw("https://example.com/t/abc").unwrap();
        assert!(svg.starts_with("<svg "), "{}", &svg[..40]);
        assert!(svg.ends_with("</svg>"));
        // The finder in the upper left corner begins with seven dark modules.
        assert!(svg.contains("d=\"M4 4h7v1h-7z"), "{svg}");
        let longest = "https://example.com/t/".to_owned() + &"x".repeat(300);
        assert!(draw(&longest).unwrap().len() < 32_000);
    }
}
