//! Answer in JSON: errors as `{"error": "text"}`, long work as a line for each thing that is ready.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{
    Json,
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_stream::{StreamExt, once, wrappers::UnboundedReceiverStream};

/// Bytes that wait for a slow reader at most: the work waits for nobody, since others wait for the work.
const ROOM: usize = 64 << 20;

/// An error as the page shows it.
pub fn problem(status: StatusCode, text: impl Into<String>) -> Response {
    (status, Json(json!({ "error": text.into() }))).into_response()
}

/// Where a job's lines go. The job is over when nobody reads them any more.
#[derive(Clone)]
pub struct Reply {
    lines: UnboundedSender<Line>,
    waiting: Arc<AtomicUsize>,
    given_up: Arc<AtomicBool>,
}

/// A line, and whether it is an error.
type Line = (Bytes, bool);

/// Who reads a reply.
pub(crate) struct Reader {
    lines: UnboundedReceiver<Line>,
    waiting: Arc<AtomicUsize>,
}

impl Reply {
    /// A reply and who reads it.
    pub(crate) fn new() -> (Reply, Reader) {
        let (sender, lines) = mpsc::unbounded_channel();
        let waiting = Arc::default();
        (Reply { lines: sender, waiting: Arc::clone(&waiting), given_up: Arc::default() }, Reader { lines, waiting })
    }

    /// Whether the page is gone, has moved on or is too slow.
    pub fn is_over(&self) -> bool {
        self.lines.is_closed() || self.given_up.load(Ordering::Relaxed)
    }

    /// Send one object as a line.
    pub fn send(&self, object: &impl Serialize) {
        self.line(object, false);
    }

    /// Say why there is no more.
    pub fn fail(&self, text: &str) {
        self.line(&json!({ "error": text }), true);
    }

    fn line(&self, object: &impl Serialize, failed: bool) {
        if self.is_over() {
            return;
        }
        let mut text = serde_json::to_vec(object).expect("what is sent has names for keys");
        text.push(b'\n');
        let waiting = self.waiting.fetch_add(text.len(), Ordering::Relaxed) + text.len();
        if waiting > ROOM && !failed {
            self.fail("this page reads more slowly than its pictures are made; ask for fewer at once");
            return self.given_up.store(true, Ordering::Relaxed);
        }
        let _ = self.lines.send((Bytes::from(text), failed)); // a reader that is gone needs no more
    }
}

/// The lines of a reply as a response; one that begins with an error is an error.
pub(crate) async fn lines(Reader { mut lines, waiting }: Reader) -> Response {
    let Some((first, failed)) = lines.recv().await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "srm explore is stopping");
    };
    let kind = (header::CONTENT_TYPE, if failed { "application/json" } else { "application/x-ndjson" });
    if failed {
        return (StatusCode::UNPROCESSABLE_ENTITY, [kind], first).into_response();
    }
    let all = once(first).chain(UnboundedReceiverStream::new(lines).map(|(line, _)| line));
    let read = move |line: Bytes| {
        waiting.fetch_sub(line.len(), Ordering::Relaxed);
        Ok::<_, std::convert::Infallible>(line)
    };
    ([kind], Body::from_stream(all.map(read))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_takes_nothing_holds_nobody_and_is_told() {
        let (reply, mut reader) = Reply::new();
        let line = "x".repeat(1 << 20);
        for _ in 0..ROOM >> 20 {
            reply.send(&line);
        }
        assert!(reply.is_over(), "64 lines of more than 1 MB wait");
        reply.send(&line);
        let mut all = Vec::new();
        while let Ok((line, failed)) = reader.lines.try_recv() {
            all.push((line.len(), failed));
        }
        assert_eq!((all.len(), all[63].1), (64, true), "63 lines and why there are no more: {:?}", all.last());
    }
}
