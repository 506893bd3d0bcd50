//! The one error type of the crate and its stable codes.
//!
//! A [`Code`] is part of the public contract: clients match on its text, so a
//! code is added or retired, never renamed. `docs/errors.md` is generated from
//! the table below.

use std::borrow::Cow;
use std::collections::BTreeMap;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Declares every code once, with all that is told about it.
macro_rules! codes {
    ($($variant:ident = $text:literal, $status:expr, $retryable:expr, $doc:literal;)*) => {
        /// A stable, machine-readable reason of a failure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $doc] $variant,)* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The text clients match on, such as `PROJECT_NOT_FOUND`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }

            /// The HTTP status, or `None` for a build error that only ever
            /// stands on a job.
            #[must_use]
            pub const fn status(self) -> Option<u16> {
                match self { $(Code::$variant => $status,)* }
            }

            /// Whether the same request can succeed later without a change.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Code::$variant => $retryable,)* }
            }

            /// One sentence for `docs/errors.md`.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Code::$variant => $doc,)* }
            }

            /// The code whose text is `text`.
            #[must_use]
            pub fn parse(text: &str) -> Option<Code> {
                match text { $($text => Some(Code::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    BadRequest = "BAD_REQUEST", Some(400), false, "The request is not well-formed: broken JSON, a bad header, a bad cursor.";
    Unauthenticated = "UNAUTHENTICATED", Some(401), false, "No valid session or API token was presented, or the credentials are wrong.";
    Forbidden = "FORBIDDEN", Some(403), false, "The caller is known but may not do this.";
    InvalidOrExpiredToken = "INVALID_OR_EXPIRED_TOKEN", Some(403), false, "A preview token, access token, setup link or invite is forged, altered, used up or past its time.";
    ProjectAccessDenied = "PROJECT_ACCESS_DENIED", Some(403), false, "The project exists but is not shared with the caller, or not with this right.";
    NotFound = "NOT_FOUND", Some(404), false, "There is nothing at this address.";
    ProjectNotFound = "PROJECT_NOT_FOUND", Some(404), false, "No project has this id.";
    JobNotFound = "JOB_NOT_FOUND", Some(404), false, "No job has this id.";
    RefNotFound = "REF_NOT_FOUND", Some(404), false, "The repository has no such branch, tag, commit or path.";
    MethodNotAllowed = "METHOD_NOT_ALLOWED", Some(405), false, "The address does not take this method; `Allow` lists those it takes.";
    Conflict = "CONFLICT", Some(409), false, "Another change came first, or the state does not allow this.";
    EmailTaken = "EMAIL_TAKEN", Some(409), false, "An account with this e-mail address exists.";
    UsernameTaken = "USERNAME_TAKEN", Some(409), false, "An account with this username exists.";
    JobNotReady = "JOB_NOT_READY", Some(409), true, "The bundle is asked for before the build has succeeded.";
    JobAlreadyCompleted = "JOB_ALREADY_COMPLETED", Some(409), false, "The job has ended and can no longer be cancelled.";
    PreviewExpired = "PREVIEW_EXPIRED", Some(410), false, "The bundle's life is over or it was cleaned up; request a new preview.";
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", Some(413), false, "Over the limit is the body, what an archive unpacks to, a git object that is to be read, or a site that is to be shown (`BUILD_DISK_MB`).";
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", Some(415), false, "The body's type is not one this call takes.";
    RangeNotSatisfiable = "RANGE_NOT_SATISFIABLE", Some(416), false, "The byte range that was asked for lies beyond the end.";
    InvalidInput = "INVALID_INPUT", Some(422), false, "A field is missing, of the wrong type or out of range; `details.field` names it.";
    UnsupportedPlatform = "UNSUPPORTED_PLATFORM", Some(422), false, "The platform is not one of ios, android and web, or the project cannot build for it.";
    RateLimitExceeded = "RATE_LIMIT_EXCEEDED", Some(429), true, "Too many requests; `Retry-After` tells the seconds to wait.";
    InternalError = "INTERNAL_ERROR", Some(500), true, "A fault of the server; the log has it under the trace id.";
    DependencyFailure = "DEPENDENCY_FAILURE", Some(503), true, "A store or service that the server needs does not answer.";
    StorageFull = "STORAGE_FULL", Some(507), true, "The disk is full or under its free-space floor.";
    PreviewBuildFailed = "PREVIEW_BUILD_FAILED", None, false, "The project's bundler or build script ended with an error; the build log has it.";
    PreviewTimeout = "PREVIEW_TIMEOUT", None, true, "A stage of the build took longer than its limit and was killed.";
    MissingDependencies = "MISSING_DEPENDENCIES", None, false, "The dependencies could not be installed.";
    InvalidProjectStructure = "INVALID_PROJECT_STRUCTURE", None, false, "The files do not form a project of a known kind.";
    StorageUploadFailed = "STORAGE_UPLOAD_FAILED", None, true, "The finished bundle could not be stored.";
    SandboxUnavailable = "SANDBOX_UNAVAILABLE", None, false, "No sandbox is available for the build and the operator has not allowed going without.";
    SourceUnavailable = "SOURCE_UNAVAILABLE", None, true, "The repository could not be reached or read.";
    Cancelled = "CANCELLED", None, false, "The job was cancelled, by a person or by a newer commit.";
}

/// The `details` key of the whole seconds after which a retry can succeed; it
/// becomes the `Retry-After` header.
pub const RETRY_AFTER: &str = "retry_after_seconds";

/// A failure: a stable code, a message for the person who meets it, details
/// for the program, and the cause for the log.
///
/// `message` and `details` go to the caller and must hold no secret; `source`
/// is only ever logged.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}", code = self.code.as_str())]
pub struct Error {
    pub code: Code,
    pub message: Cow<'static, str>,
    pub details: BTreeMap<&'static str, serde_json::Value>,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            details: BTreeMap::new(),
            source: None,
        }
    }

    /// A fault of ours. The text is for the log: callers are told only that
    /// something failed inside.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InternalError, message)
    }

    /// A field of the input that cannot be taken.
    pub fn invalid(field: &str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidInput, message).with("field", field)
    }

    /// Too many requests; the caller may come back after `wait`.
    #[must_use]
    pub fn rate_limited(wait: std::time::Duration, message: impl Into<Cow<'static, str>>) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::new(Code::RateLimitExceeded, message).with(RETRY_AFTER, seconds.max(1))
    }

    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.details.insert(key, value.into());
        self
    }

    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The error and its causes in one line, for the log.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

/// Turns a library's error into an [`Error`] that says what was tried.
pub trait Context<T> {
    /// `what` reads as "could not {what}", without a secret in it.
    fn or_internal(self, what: &str) -> Result<T>;
    fn or_code(self, code: Code, what: &str) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Context<T>
    for std::result::Result<T, E>
{
    fn or_internal(self, what: &str) -> Result<T> {
        self.or_code(Code::InternalError, what)
    }

    fn or_code(self, code: Code, what: &str) -> Result<T> {
        self.map_err(|e| Error::new(code, format!("could not {what}")).caused_by(e))
    }
}
