//! Requests on HTTP/2, which share a connection: each is a task of its own, so
//! that one can be ended and the others go on.

use std::future::Future;
use std::sync::Arc;

use hyper::rt::Executor;
use tokio::sync::Notify;

tokio::task_local! {
    static END: End;
}

/// Starts the tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams;

/// The end of one request from outside. Its body cannot do that: while the
/// client makes no room, hyper asks it for nothing. Dropping the task resets the
/// stream, and with it what h2 still holds of the answer.
#[derive(Clone, Debug, Default)]
pub(super) struct End(Arc<Notify>);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let end = End::default();
        let ended = end.clone();
        tokio::spawn(END.scope(end, async move {
            tokio::select! {
                biased;
                () = stream => {}
                () = ended.0.notified() => {}
            }
        }));
    }
}

impl End {
    /// The one of the request whose task this is; `None` on HTTP/1, where the
    /// connection's end is the request's.
    pub(super) fn of_this_request() -> Option<Self> {
        END.try_with(Clone::clone).ok()
    }

    pub(super) fn now(&self) {
        self.0.notify_one();
    }
}
