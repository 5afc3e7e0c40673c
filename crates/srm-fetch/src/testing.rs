//! Serve files on 127.0.0.1 to tests, and hear what a downloader says.

use crate::{Downloader, Event, Listener, Patience};
use srm_terminal::ProgressBar;
use std::{
    cell::RefCell,
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    rc::Rc,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What a downloader has said, an event a line.
pub type Heard = Rc<RefCell<Vec<String>>>;

struct Notes {
    heard: Heard,
    stop: bool,
}

impl Listener for Notes {
    fn hear(&self, event: &Event<'_>) {
        self.heard.borrow_mut().push(event.to_string());
    }

    fn bar(&self, _name: &str, _total: Option<u64>, _start: u64) -> ProgressBar {
        ProgressBar::hidden()
    }

    fn stopped(&self) -> bool {
        self.stop
    }
}

/// An impatient downloader under these variables and no others, and what it says.
pub fn downloader(set: &[(&str, &str)]) -> (Downloader, Heard) {
    let heard = Heard::default();
    (impatient(set, Notes { heard: heard.clone(), stop: false }), heard)
}

/// One that is asked to stop as soon as something arrives.
pub fn stopped_downloader(set: &[(&str, &str)]) -> Downloader {
    impatient(set, Notes { heard: Heard::default(), stop: true })
}

fn impatient(set: &[(&str, &str)], notes: Notes) -> Downloader {
    let millis = Duration::from_millis;
    let set: Vec<(String, OsString)> = set.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect();
    Downloader::with_variables(
        Patience { connect: millis(600), silence: millis(250), pause: millis(5) },
        Box::new(notes),
        Box::new(move |name| set.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())),
    )
}

/// A file of safetensors with one tensor of `count` numbers, all of them `fill`.
pub fn safetensors(count: usize, fill: u8) -> Vec<u8> {
    let header = format!(r#"{{"x":{{"dtype":"U8","shape":[{count}],"data_offsets":[0,{count}]}}}}"#);
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![fill; count]].concat()
}

/// One request, its header's names in small letters.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// `GET /path`, and the range where it asks for one.
    pub fn line(&self) -> String {
        let range = self.header("range").map(|range| format!(" {range}")).unwrap_or_default();
        format!("{} {}{range}", self.method, self.path)
    }
}

/// What a server says to a request; ranges of a body are the server's own business.
#[derive(Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Of a body as it is asked for, the bytes after which the connection breaks.
    pub cut: Option<usize>,
}

impl Reply {
    pub fn status(status: u16, headers: &[(&'static str, &str)]) -> Reply {
        let headers = headers.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        Reply { status, headers, ..Reply::default() }
    }

    pub fn file(body: &[u8]) -> Reply {
        Reply { status: 200, body: body.to_vec(), ..Reply::default() }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Reply {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A server that lives until the tests end, with all that it was asked.
pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(request) = read(&stream) else { continue };
                seen.lock().unwrap().push(request.clone());
                reply(&stream, &request, answer(&request));
            }
        });
        Server { url, requests }
    }

    /// What was asked since the last call, a line a request.
    pub fn lines(&self) -> Vec<String> {
        self.taken().iter().map(Request::line).collect()
    }

    /// What was asked since the last call.
    pub fn taken(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

/// The address of a server that has gone.
pub fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let first = lines.next()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let header = |line: String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    Some(Request { method, path, headers: lines.filter_map(header).collect() })
}

fn reply(mut stream: &TcpStream, request: &Request, reply: Reply) {
    let range: Option<usize> =
        request.header("range").and_then(|range| range.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok());
    let (status, start) = match range {
        Some(start) if reply.status == 200 && start < reply.body.len() => (206, start),
        Some(start) if reply.status == 200 => (416, start.min(reply.body.len())),
        _ => (reply.status, 0),
    };
    let body = &reply.body[start..];
    let mut head = format!("HTTP/1.1 {status} Word\r\nConnection: close\r\nContent-Range: bytes {start}-\r\n");
    if !reply.headers.iter().any(|(name, _)| *name == "Content-Length") {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let sent = if request.method == "HEAD" { 0 } else { reply.cut.unwrap_or(body.len()).min(body.len()) };
    // the client may hang up first
    let _ = stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(&body[..sent]));
}
