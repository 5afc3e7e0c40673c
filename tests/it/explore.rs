//! `srm explore`: what the page shows is what the command that it names makes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::common::{command, folder, read_npy, smoke, srm, text};

/// A page that is served by a process.
pub struct Served {
    process: Child,
    /// With the token.
    pub url: String,
    pub address: String,
    cookie: String,
}

impl Served {
    pub fn new(what: &[&str], pictures: &Path) -> Served {
        Served::by(command, what, pictures)
    }

    /// By a command that `program` makes of arguments.
    pub fn by(program: impl Fn(&[&str]) -> Command, what: &[&str], pictures: &Path) -> Served {
        let rest = ["--port", "0", "--pictures", text(pictures), "--json"];
        let mut process = program(&[&["explore"], what, &rest].concat()).stdout(Stdio::piped()).spawn().expect("srm");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).expect("one JSON object");
        let url = said["url"].as_str().expect("a URL").to_owned();
        let (address, path) = url.strip_prefix("http://").expect("http").split_once('/').expect("a path");
        let (address, path) = (address.to_owned(), path.to_owned());
        let mut served = Served { process, url, address, cookie: String::new() };
        let answer = served.ask(&format!("GET /{path}"), b"");
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
        served.cookie = cookie.split(';').next().expect("its value").to_owned();
        served
    }

    /// The answer, headers and all; by HTTP/1.0 it comes in one piece.
    pub fn ask(&self, what: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("the page listens");
        let Served { address, cookie, .. } = self;
        let head = format!(
            "{what} HTTP/1.0\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {cookie}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// The lines that a question is answered by.
    pub fn lines(&self, path: &str, asked: &Value) -> Vec<Value> {
        let answer = self.ask(&format!("POST {path}"), asked.to_string().as_bytes());
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        body.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.ask(&format!("GET {path}"), b"");
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn pixels(line: &Value) -> Vec<u8> {
    STANDARD.decode(line["pixels"].as_str().expect("pixels")).expect("base64")
}

/// What a command of the page makes, as an array, run as it stands but for the place of --out.
pub fn made(command: &Value, out: &Path) -> Vec<u8> {
    let line = command
        .as_str()
        .expect("a command")
        .replace("x.png", text(out))
        .replace("r.png", text(&out.with_extension("png")));
    let words: Vec<String> = line.split_whitespace().skip(1).map(|word| word.trim_matches('\'').to_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let array = ["--npy", text(out)];
    let more: &[&str] = if words[0] == "sample" { &[] } else { &array };
    srm(&[&words[..], more].concat()).done();
    read_npy(out).1
}

#[test]
fn what_is_shown_is_what_the_command_makes_bit_for_bit() {
    let place = folder();
    let run = text(&smoke().0);
    let served = Served::new(&[run, "fashion32"], &place.path().join("pictures"));
    let sources = served.get("/api/sources");
    assert_eq!(
        (sources["sources"][0]["kind"].as_str(), sources["sources"][1]["kind"].as_str()),
        (Some("run"), Some("weights"))
    );
    let update = sources["sources"][0]["newest"].as_u64().expect("a checkpoint");
    let images =
        |seed: u64, ids: &[u64]| ids.iter().map(|&id| json!({ "seed": seed, "image": id })).collect::<Vec<_>>();
    let out = place.path().join("x.npy");
    for (source, update, codes, steps, noise) in [
        (0, json!(update), images(3, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), json!(null), true),
        (0, json!(null), images(3, &[4, 2]), json!(25), true),
        (
            1,
            json!(null),
            vec![json!({ "mix": [[0.3, 2, 1], [0.8, 2, 9], [0.1, 5, 4]], "noise_image": 9 })],
            json!(null),
            true,
        ),
        (1, json!(null), images(1, &[0]), json!(null), false),
    ] {
        let asked = json!({
            "source": source, "update": update, "codes": codes, "steps": steps, "noise": noise, "states": [0, 3],
        });
        let lines = served.lines("/api/draw", &asked);
        let [first, second, last, done] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((first["k"].as_u64(), second["k"].as_u64()), (Some(0), Some(3)), "{asked}");
        assert_eq!(last["f"].as_array().map(Vec::len), Some(codes.len()));
        assert!(pixels(last) == made(&done["command"], &out), "{}", done["command"]);
    }
    let refused = served.lines(
        "/api/neighbours",
        &json!({ "source": 1, "update": null, "code": { "seed": 1, "image": 0 }, "count": 2 }),
    );
    assert!(refused[0]["error"].as_str().expect("an error").contains("training images are not here"), "{refused:?}");
    for codes in [json!([{ "seed": 1, "image": 0 }]), json!([{ "mix": [[-0.6, 1, 3], [0.8, 1, 4]], "noise_image": 3 }])]
    {
        let asked =
            json!({ "source": 0, "update": null, "codes": codes, "steps": null, "noise": true, "states": "end" });
        let lines = served.lines("/api/draw", &asked);
        assert!(lines[1]["command"].as_str().expect("a command").contains(&format!("--update {update}")), "{lines:?}");
        assert!(pixels(&lines[0]) == made(&lines[1]["command"], &out));
    }
    for steps in [0, 10_000] {
        let asked = json!({
            "source": 0, "update": null, "codes": [{ "seed": 1, "image": 0 }], "steps": steps, "noise": true, "states": "end",
        });
        assert!(
            served.lines("/api/draw", &asked)[0]["error"].as_str().expect("an error").contains("the page shows 1 to")
        );
    }
    let near = served.lines(
        "/api/neighbours",
        &json!({ "source": 0, "update": null, "code": { "seed": 1, "image": 0 }, "count": 2 }),
    );
    assert_eq!(near[0]["images"].as_array().map(Vec::len), Some(2), "{near:?}");
}

#[test]
fn a_picture_that_is_brought_is_reconstructed_as_the_command_does_it() {
    let place = folder();
    let served = Served::new(&["fashion32"], &place.path().join("pictures"));
    let grey = [b"P5\n40 32\n255\n".to_vec(), (0..40 * 32).map(|i| (i % 251) as u8).collect()].concat();
    let brought = served.ask("POST /api/pictures?source=0&left=4&top=0&side=32", &grey);
    let brought: Value = serde_json::from_str(brought.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    assert_eq!(brought["original"], json!({ "width": 40, "height": 32 }));
    let half: Vec<u8> = (0..32 * 32).map(|i| if i < 512 { 255 } else { 0 }).collect();
    let mask = served.ask("POST /api/masks?source=0", &half);
    let mask: Value = serde_json::from_str(mask.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    let asked = json!({
        "source": 0, "update": null, "picture": brought["picture"], "mask": mask["mask"], "observed_noise": null, "iterations": 6,
        "starts": 2, "latent": "grids", "seed": 4,
    });
    let lines = served.lines("/api/reconstruct", &asked);
    let (done, best) = (&lines[lines.len() - 1], &lines[lines.len() - 2]);
    assert_eq!(lines.len(), 7 + 2, "an iterate a line, the best, the end");
    assert!(pixels(best) == made(&done["command"], &place.path().join("x.npy")), "{done}");
    let unknown = served.lines("/api/reconstruct", &json!({
        "source": 0, "update": null, "picture": "../x", "mask": null, "observed_noise": null, "iterations": 1, "starts": 1,
        "latent": "free", "seed": 1,
    }));
    assert!(unknown[0]["error"].as_str().expect("an error").contains("bring it again"));
}

#[test]
fn a_port_in_use_and_what_is_no_run_are_said_and_ctrl_c_ends_the_page() {
    let place = folder();
    let mut served = Served::new(&["fashion32"], place.path());
    let port = served.address.rsplit(':').next().expect("a port").to_owned();
    srm(&["explore", "fashion32", "--port", &port]).failed_with(2, &["is in use", "--port 0"]);
    srm(&["explore", "nowhere", "--port", "0"]).failed_with(1, &["nowhere", "do not exist"]);
    let begun = Instant::now();
    let pid = served.process.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    assert!(served.process.wait().expect("an end").success());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
