//! Say which address does what. What is read is a GET; what is computed or saved is a POST.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{self, Body},
    extract::{DefaultBodyLimit, Path, Query, State, rejection::JsonRejection},
    http::StatusCode,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use srm_data::Cut;
use tokio::{sync::mpsc, time};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::{
    Ask, Draw, Job, Neighbours, Reconstruct, Reply, Source,
    answer::{lines, problem},
    assets, live,
    pictures::Pictures,
    queue::Queue,
    source::describe,
};

/// The most bytes of a picture.
const MOST_BYTES: usize = 32 << 20;
/// The most bytes of a question.
const MOST_JSON: usize = 1 << 18;
/// A body that takes longer is given up.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Between two looks at a run.
const LOOKS: Duration = Duration::from_millis(500);

/// What the addresses share.
pub struct House {
    pub sources: Vec<Source>,
    pub pictures: Pictures,
    pub jobs: Arc<Queue>,
    /// Of the machine: device, threads, version.
    pub facts: Value,
}

type Shared = State<Arc<House>>;

/// All addresses.
pub fn routes(house: Arc<House>) -> Router {
    Router::new()
        .route("/", get(assets::index))
        .route("/assets/{name}", get(assets::file))
        .route("/api/sources", get(sources))
        .route("/api/runs/{id}", get(run))
        .route("/api/runs/{id}/live", get(follow))
        .route("/api/draw", post(draw))
        .route("/api/neighbours", post(neighbours))
        .route("/api/reconstruct", post(reconstruct))
        .route("/api/pictures", post(bring))
        .route("/api/pictures/{name}", get(again))
        .route("/api/masks", post(paint))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is no such address") })
        .layer(DefaultBodyLimit::max(MOST_JSON))
        .with_state(house)
}

impl House {
    fn source(&self, id: usize) -> Result<&Source, Box<Response>> {
        self.sources.get(id).ok_or_else(|| Box::new(problem(StatusCode::NOT_FOUND, format!("there is no source {id}"))))
    }

    fn run(&self, id: usize) -> Result<PathBuf, Box<Response>> {
        match &self.source(id)?.run {
            Some(folder) => Ok(folder.clone()),
            None => Err(Box::new(problem(StatusCode::NOT_FOUND, "weights alone have no run to show"))),
        }
    }

    /// Hand a job to whoever has the nets, and stream its lines.
    async fn work(&self, ask: Ask) -> Response {
        let (reply, reader) = Reply::new();
        match self.jobs.take(Job { ask, reply }) {
            true => lines(reader).await,
            false => problem(StatusCode::SERVICE_UNAVAILABLE, "too much is waiting; ask again in a moment"),
        }
    }
}

async fn sources(State(house): Shared) -> Response {
    let described = aside(move || {
        let all = house.sources.iter().enumerate();
        let all: Vec<Value> = all.map(|(id, source)| describe(id, source)).collect();
        let mut facts = house.facts.clone();
        facts["sources"] = json!(all);
        facts
    });
    Json(described.await).into_response()
}

async fn run(State(house): Shared, Path(id): Path<usize>) -> Response {
    match house.run(id) {
        Ok(folder) => Json(aside(move || live::snapshot(&folder)).await).into_response(),
        Err(problem) => *problem,
    }
}

#[derive(Deserialize)]
struct Had {
    #[serde(default)]
    lines: usize,
    #[serde(default)]
    events: usize,
    /// Those of a page that does not say are all of now.
    scores: Option<usize>,
}

async fn follow(State(house): Shared, Path(id): Path<usize>, Query(had): Query<Had>) -> Response {
    let folder = match house.run(id) {
        Ok(folder) => folder,
        Err(problem) => return *problem,
    };
    let (sender, receiver) = mpsc::channel(256);
    tokio::spawn(async move {
        let begin = move || {
            let mut feed = live::Feed::new(&folder);
            let new = feed.skip([Some(had.lines), Some(had.events), had.scores]);
            (feed, new)
        };
        let (mut feed, mut new) = aside(begin).await;
        loop {
            for (name, data) in new {
                if sender.send(Event::default().event(name).data(data.to_string())).await.is_err() {
                    return;
                }
            }
            time::sleep(LOOKS).await;
            if sender.is_closed() {
                return;
            }
            (feed, new) = aside(move || {
                let new = feed.look();
                (feed, new)
            })
            .await;
        }
    });
    let events = ReceiverStream::new(receiver).map(Ok::<_, Infallible>);
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

async fn draw(State(house): Shared, asked: Result<Json<Draw>, JsonRejection>) -> Response {
    match checked(&house, asked, |asked| (asked.source, asked.problem())) {
        Ok(asked) => house.work(Ask::Draw(asked)).await,
        Err(problem) => *problem,
    }
}

async fn neighbours(State(house): Shared, asked: Result<Json<Neighbours>, JsonRejection>) -> Response {
    match checked(&house, asked, |asked| (asked.source, asked.problem())) {
        Ok(asked) => house.work(Ask::Neighbours(asked)).await,
        Err(problem) => *problem,
    }
}

async fn reconstruct(State(house): Shared, asked: Result<Json<Reconstruct>, JsonRejection>) -> Response {
    let asked = match checked(&house, asked, |asked| (asked.source, asked.problem())) {
        Ok(asked) => asked,
        Err(problem) => return *problem,
    };
    match house.pictures.target(&asked.picture, asked.mask.as_deref()) {
        Ok(target) => house.work(Ask::Reconstruct(asked, Box::new(target))).await,
        Err(text) => problem(StatusCode::NOT_FOUND, text),
    }
}

/// What was asked, where it can be done: its source and what is wrong with it, as `look` finds.
fn checked<T>(
    house: &House,
    asked: Result<Json<T>, JsonRejection>,
    look: impl Fn(&T) -> (usize, Option<String>),
) -> Result<T, Box<Response>> {
    let Json(asked) = asked.map_err(|error| Box::new(problem(error.status(), error.body_text())))?;
    let (source, wrong) = look(&asked);
    house.source(source)?;
    wrong.map_or(Ok(asked), |text| Err(Box::new(problem(StatusCode::UNPROCESSABLE_ENTITY, text))))
}

#[derive(Deserialize)]
struct Place {
    source: usize,
    left: Option<usize>,
    top: Option<usize>,
    side: Option<usize>,
}

async fn bring(State(house): Shared, Query(place): Query<Place>, body: Body) -> Response {
    let cut = match (place.left, place.top, place.side) {
        (Some(left), Some(top), Some(side)) => Some(Cut { left, top, side }),
        _ => None,
    };
    saved(house, place.source, body, MOST_BYTES, move |house, bytes, shape| house.pictures.bring(bytes, cut, shape))
        .await
}

/// The name is looked up among those that were given, and is part of no path.
async fn again(State(house): Shared, Path(name): Path<String>) -> Response {
    match house.pictures.again(&name) {
        Ok(picture) => Json(picture).into_response(),
        Err(text) => problem(StatusCode::NOT_FOUND, text),
    }
}

async fn paint(State(house): Shared, Query(place): Query<Place>, body: Body) -> Response {
    saved(house, place.source, body, MOST_JSON, |house, bytes, (size, _)| house.pictures.paint(bytes, size)).await
}

/// Read a body and save what it holds, in the shape of a source's images.
async fn saved<T: serde::Serialize + Send + 'static>(
    house: Arc<House>,
    source: usize,
    body: Body,
    most: usize,
    save: impl FnOnce(&House, &[u8], (usize, usize)) -> Result<T, String> + Send + 'static,
) -> Response {
    let shape = match house.source(source) {
        Ok(source) => source.shape(),
        Err(problem) => return *problem,
    };
    let Some(shape) = shape else {
        return problem(StatusCode::NOT_FOUND, "this run has no settings yet; wait for its first lines");
    };
    let bytes = match time::timeout(BODY_TIME, body::to_bytes(body, most)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let text = format!("it was cut off, or has more than {} KB", most >> 10);
            return problem(StatusCode::PAYLOAD_TOO_LARGE, text);
        }
        Err(_) => return problem(StatusCode::REQUEST_TIMEOUT, "the picture took more than a minute to arrive"),
    };
    match aside(move || save(&house, &bytes, shape)).await {
        Ok(saved) => Json(saved).into_response(),
        Err(text) => problem(StatusCode::UNPROCESSABLE_ENTITY, text),
    }
}

/// Do what waits for a disk or computes on a thread for that, so that others are served meanwhile.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work ends, and nobody cancels it")
}
