//! What a person meets in a browser: real Chromium, driven over `WebDriver`.

#[path = "../common/mod.rs"]
mod common;
mod driver;
#[path = "../common/previews.rs"]
mod previews_world;
#[path = "../common/sources.rs"]
mod sources;

mod preview_page;
mod web_previews;
