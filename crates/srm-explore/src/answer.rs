//! Answer in JSON: errors as `{"error": "text"}`, long work as a line for each thing that is ready.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{
    Json,
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};
use tokio_stream::{StreamExt, once, wrappers::ReceiverStream};

/// Lines that wait for a slow reader.
const WAITING: usize = 64;
/// A reader that takes nothing for so long is taken for gone: others wait for the work.
const PATIENCE: Duration = Duration::from_secs(10);

/// An error as the page shows it.
pub fn problem(status: StatusCode, text: impl Into<String>) -> Response {
    (status, Json(json!({ "error": text.into() }))).into_response()
}

/// Where a job's lines go. The job is over when nobody reads them any more.
#[derive(Clone)]
pub struct Reply {
    lines: Sender<Line>,
    given_up: Arc<AtomicBool>,
}

/// A line, and whether it is an error.
type Line = (Bytes, bool);

impl Reply {
    /// A reply and who reads it.
    pub(crate) fn new() -> (Reply, Receiver<Line>) {
        let (lines, reader) = mpsc::channel(WAITING);
        (Reply { lines, given_up: Arc::default() }, reader)
    }

    /// Whether the page is gone or has moved on.
    pub fn is_over(&self) -> bool {
        self.lines.is_closed() || self.given_up.load(Ordering::Relaxed)
    }

    /// Send one object as a line. From any thread but the server's.
    pub fn send(&self, object: &impl Serialize) {
        self.line(object, false);
    }

    /// Say why there is no more.
    pub fn fail(&self, text: &str) {
        self.line(&json!({ "error": text }), true);
    }

    fn line(&self, object: &impl Serialize, failed: bool) {
        let mut text = serde_json::to_vec(object).expect("what is sent has names for keys");
        text.push(b'\n');
        let (mut line, begun) = ((Bytes::from(text), failed), Instant::now());
        while !self.is_over() {
            match self.lines.try_send(line) {
                Err(TrySendError::Full(back)) if begun.elapsed() < PATIENCE => line = back,
                Err(TrySendError::Full(_)) => return self.given_up.store(true, Ordering::Relaxed),
                _ => return,
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The lines of a reply as a response; one that begins with an error is an error.
pub(crate) async fn lines(mut reader: Receiver<Line>) -> Response {
    let Some((first, failed)) = reader.recv().await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "srm explore is stopping");
    };
    let kind = (header::CONTENT_TYPE, if failed { "application/json" } else { "application/x-ndjson" });
    if failed {
        return (StatusCode::UNPROCESSABLE_ENTITY, [kind], first).into_response();
    }
    let all = once(first).chain(ReceiverStream::new(reader).map(|(line, _)| line));
    ([kind], Body::from_stream(all.map(Ok::<_, std::convert::Infallible>))).into_response()
}
