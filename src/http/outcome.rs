//! What comes of a request inside of the layers that look at bodies: what no
//! route may see is refused, a panic becomes an error, and an error gets its body.

use std::any::Any;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::Request;
use axum::http::Version;
use axum::http::header::HOST;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::{CatchUnwind, Either};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::extract::Crowded;
use super::trace::TraceId;
use super::{error, headers};
use crate::error::{Code, Error};

/// Puts an [`Outcome`] around what it is given.
#[derive(Clone)]
pub(super) struct OutcomeLayer;

impl<S> Layer<S> for OutcomeLayer {
    type Service = Outcome<S>;

    fn layer(&self, inner: S) -> Outcome<S> {
        Outcome(inner)
    }
}

/// Refuses what no route may see, and finishes every answer.
#[derive(Clone)]
pub(super) struct Outcome<S>(S);

type Answer = Result<Response, Infallible>;
type Panic = Box<dyn Any + Send>;

impl<S> Service<Request> for Outcome<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Finishing<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let trace_id = request.extensions().get::<TraceId>().cloned();
        let answer = match refusal(&request) {
            Some(error) => {
                let refused = error::ApiError(error).into_response();
                Either::Right(ready(Ok(Ok(refused))))
            }
            None => match catch_unwind(AssertUnwindSafe(|| self.0.call(request))) {
                Ok(answer) => Either::Left(AssertUnwindSafe(answer).catch_unwind()),
                Err(panic) => Either::Right(ready(Err(panic))),
            },
        };
        Finishing { answer, trace_id }
    }
}

pin_project! {
    /// A request under way.
    pub(super) struct Finishing<F> {
        #[pin]
        answer: Either<CatchUnwind<AssertUnwindSafe<F>>, Ready<Result<Answer, Panic>>>,
        trace_id: Option<TraceId>,
    }
}

impl<F: Future<Output = Answer>> Future for Finishing<F> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let this = self.project();
        let response = match ready!(this.answer.poll(context)) {
            Ok(Ok(response)) => response,
            Err(panic) => error::panicked(&*panic),
        };
        let trace_id = this.trace_id.as_ref().map_or("", |id| &id.0);
        Poll::Ready(Ok(headers::count(error::finish(response, trace_id))))
    }
}

/// Why a request reaches no route, whichever it is for.
fn refusal(request: &Request) -> Option<Error> {
    if request.extensions().get::<Crowded>().is_some() {
        let message = "your address has too many requests under way; try again in 1 s";
        return Some(Error::rate_limited(Duration::from_secs(1), message));
    }
    let message = "the request names no host, or two; send one Host header";
    (!has_one_host(request)).then(|| Error::new(Code::BadRequest, message))
}

/// A proxy may have decided by the other one (RFC 9112, section 3.2; RFC 9113,
/// section 8.3.1).
fn has_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    // HTTP/1.1 has the host twice in requests to proxies, and it is the first
    // that counts (section 3.2.2).
    let fits = match (request.version(), request.uri().authority(), first) {
        (Version::HTTP_2, Some(authority), Some(host)) => host
            .as_bytes()
            .eq_ignore_ascii_case(authority.as_str().as_bytes()),
        (Version::HTTP_11, _, None) => false,
        _ => true,
    };
    second.is_none() && fits
}
