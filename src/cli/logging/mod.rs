//! The log on stdout, as text or JSON.
//!
//! JSON lines are flat, because that is what log collectors index: time,
//! level, service, the event's fields, and of the spans around it the ids of
//! request and job.

mod lines;

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::{Clock, SystemClock};
use crate::config::{Log, LogFormat};
use crate::error::{Error, Result};
use lines::Lines;

pub use lines::Gathering;

/// Starts the log of this process. Until what it answers is dropped a line may
/// be some milliseconds late.
///
/// # Errors
/// `INVALID_INPUT` for a `LOG_LEVEL` that is no level and no filter.
pub fn start(log: &Log) -> Result<Gathering> {
    let filter = EnvFilter::try_new(&log.level).map_err(|e| {
        Error::invalid(
            "LOG_LEVEL",
            "LOG_LEVEL is neither a level (error, warn, info, debug, trace) nor a tracing filter",
        )
        .caused_by(e)
    })?;
    // Below info these write down addresses and headers, where tokens live.
    let filter = ["h2", "hyper", "hyper_util", "tower_http", "reqwest"]
        .into_iter()
        .filter_map(|library| format!("{library}=info").parse().ok())
        .fold(filter, EnvFilter::add_directive);
    let registry = tracing_subscriber::registry().with(filter);
    let (lines, gathering) = Lines::start(std::io::stdout())?;
    match log.format {
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_ansi(super::output::colours())
                    .with_writer(lines),
            )
            .init(),
        LogFormat::Json => registry.with(JsonLines(lines)).init(),
    }
    Ok(gathering)
}

struct JsonLines(Lines);

/// A span's fields, kept with it.
struct SpanFields(Map<String, Value>);

impl<S> Layer<S> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        context: Context<'_, S>,
    ) {
        let mut fields = Map::new();
        attributes.record(&mut Fields(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields));
        }
    }

    fn on_record(
        &self,
        id: &tracing::Id,
        values: &tracing::span::Record<'_>,
        context: Context<'_, S>,
    ) {
        if let Some(span) = context.span(id)
            && let Some(SpanFields(fields)) = span.extensions_mut().get_mut()
        {
            values.record(&mut Fields(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        let meta = event.metadata();
        line.insert("time".into(), SystemClock.now().to_rfc3339().into());
        line.insert(
            "level".into(),
            meta.level().as_str().to_ascii_lowercase().into(),
        );
        line.insert("service".into(), "hivesync".into());
        line.insert("target".into(), meta.target().into());
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                for (name, value) in fields {
                    line.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        event.record(&mut Fields(&mut line));
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        self.0
            .take(text.as_bytes(), lines::is_urgent(*meta.level()));
    }
}

/// Collects fields as JSON values.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}
