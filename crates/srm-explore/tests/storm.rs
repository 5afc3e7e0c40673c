//! Ten thousand requests at random: no panic, and no memory that stays taken. In a process of its own, whose memory nobody else
//! takes.

mod served;

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use served::{Served, serve};
use srm_explore::Ask;

/// Requests in all, and those before the memory is first looked at.
const REQUESTS: u64 = 10_000;
const WARM: u64 = 3_000;
/// What the allocator may keep: a body of a picture and the stacks of the server's threads.
const MOST_KB: u64 = 2 << 10;

const DRAW: &str =
    r#"{"source":0,"update":null,"codes":[{"seed":1,"image":2}],"steps":null,"noise":true,"states":[0]}"#;
const NEAR: &str = r#"{"source":0,"update":null,"code":{"mix":[[0.8,1,2],[0.6,1,3]],"noise_image":2},"count":3}"#;
const FIND: &str = r#"{"source":0,"update":null,"picture":"PICTURE","mask":null,"observed_noise":null,"iterations":9,"starts":2,
                       "latent":"free","seed":4}"#;
const PATHS: [&str; 12] = [
    "/",
    "/assets/app.js",
    "/api/sources",
    "/api/runs/1",
    "/api/runs/0",
    "/api/draw",
    "/api/neighbours",
    "/api/reconstruct",
    "/api/pictures?source=0",
    "/api/pictures?source=0&left=1&top=1&side=4",
    "/api/pictures/PICTURE",
    "/api/masks?source=0",
];

/// Resident memory of this process.
fn kilobytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A request that is sound, or nearly so: a few of its bytes are others.
fn request(rng: &mut ChaCha8Rng, cookie: &str, picture: &str) -> (String, Vec<u8>) {
    let path = PATHS[rng.next_u32() as usize % PATHS.len()].replace("PICTURE", picture);
    let (method, mut body) = match path.split(['?', '/']).nth(2) {
        Some("draw") => ("POST", DRAW.as_bytes().to_vec()),
        Some("neighbours") => ("POST", NEAR.as_bytes().to_vec()),
        Some("reconstruct") => ("POST", FIND.replace("PICTURE", picture).into_bytes()),
        Some("pictures") if path.contains('?') => {
            let pixel = rng.next_u32() as u8;
            ("POST", [b"P5\n8 8\n255\n", &[pixel; 64][..]].concat())
        }
        Some("masks") => ("POST", (0..64).map(|_| if rng.next_u32().is_multiple_of(2) { 255 } else { 0 }).collect()),
        _ => ("GET", Vec::new()),
    };
    let kind = if path.contains("pictures") || path.contains("masks") {
        "application/octet-stream"
    } else {
        "application/json"
    };
    let mut head =
        format!("{method} {path} HTTP/1.1\nHost: HOST\nOrigin: http://HOST\nCookie: {cookie}\nContent-Type: {kind}")
            .into_bytes();
    for part in [&mut head, &mut body] {
        if !part.is_empty() && rng.next_u32().is_multiple_of(3) {
            for _ in 0..=rng.next_u32() % 4 {
                let at = rng.next_u32() as usize % part.len();
                part[at] = rng.next_u32() as u8;
            }
        }
    }
    (String::from_utf8_lossy(&head).into_owned(), body)
}

/// The requests of a range of seeds; how many were answered with 200.
fn storm(served: &Served, seeds: std::ops::Range<u64>, cookie: &str, picture: &str) -> usize {
    let one = |seed: u64| {
        let (head, body) = request(&mut ChaCha8Rng::seed_from_u64(seed), cookie, picture);
        let status = served.status(&head, &body);
        assert!(status != 0 && status != 500, "a panic ends a connection without an answer: {head:?} {body:?}");
        usize::from(status == 200)
    };
    seeds.map(one).sum()
}

#[test]
fn ten_thousand_requests_cost_no_panic_and_leave_no_memory() {
    let served = serve();
    let cookie = served.cookie();
    let brought = served.ask(&served.post("/api/pictures?source=0", "x"), &[b"P5\n8 8\n255\n", &[7; 64][..]].concat());
    let name = brought.find("picture-").map(|at| &brought[at..at + 20]).unwrap();
    let over = AtomicBool::new(false);
    let (fine, jobs, grown) = thread::scope(|scope| {
        let work = scope.spawn(|| {
            let mut jobs = 0;
            while !over.load(Ordering::Relaxed) {
                let Some(job) = served.page.next(Duration::from_millis(20)) else { continue };
                jobs += 1;
                let size = if let Ask::Draw(draw) = &job.ask { draw.codes.len() } else { 1 };
                job.reply.send(&serde_json::json!({ "k": 0, "pixels": "x".repeat(4096 * size) }));
                job.reply.send(&serde_json::json!({ "done": true }));
            }
            jobs
        });
        let warm = storm(&served, 0..WARM, &cookie, name);
        let before = kilobytes();
        let fine = warm + storm(&served, WARM..REQUESTS, &cookie, name);
        let grown = kilobytes().saturating_sub(before);
        over.store(true, Ordering::Relaxed);
        (fine, work.join().unwrap(), grown)
    });
    assert!(fine > 2000 && jobs > 500, "{fine} answers, {jobs} jobs: the requests are near enough to sound ones");
    assert!(grown < MOST_KB, "{grown} KB more after {} requests", REQUESTS - WARM);
    assert_eq!(served.status(&format!("GET /api/sources HTTP/1.1\nHost: HOST\nCookie: {cookie}"), b""), 200);
}
