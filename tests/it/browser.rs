//! The page of `srm explore` as somebody uses it in a browser.

use std::{
    fs,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    chromium::{Browser, PATIENCE},
    common::{command, folder, png_pixels, read_npy, root, smoke, srm, text},
    explore::{Served, made},
};

#[test]
fn views_open_scrubbers_and_drags_move_pictures_and_commands_make_them() {
    let place = folder();
    let served = Served::new(&[text(&smoke().0), "fashion32"], &place.path().join("pictures"));
    let Some(browser) = Browser::open(&served) else { return };
    let out = place.path().join("x.npy");

    browser.wait("document.querySelectorAll('.charts canvas').length === 6");
    let words = browser.wait("document.querySelector('.runs').innerText");
    assert!(words.as_str().expect("text").contains("finished, update 30"), "{words}");
    browser.is_named();
    browser.shoot("run");

    browser.view("training");
    let shown = "document.querySelector('.tiles').getAttribute('aria-busy') === 'false' && document.querySelector('.training p').innerText";
    let words = browser.wait(shown);
    assert_eq!(words, "k = 10 · 32 px · update 30");
    let last = browser.pixels(".training .tiles canvas", false);
    assert!(last == made(&browser.command(".training"), &out));
    browser.is_named();
    browser.shoot("training");
    browser.keys(".scrub .row:nth-child(1) input", "\u{e012}"); // the key to the left
    browser.wait(&format!("{shown}.startsWith('k = 9 ')"));
    let before = browser.pixels(".training .tiles canvas", false);
    assert!(before != last, "a step earlier");
    browser.keys(".scrub .row:nth-child(2) input", "\u{e012}");
    browser.wait(&format!("{shown}.endsWith('update 15')"));
    assert!(browser.pixels(".training .tiles canvas", false) != before, "an update earlier");
    browser.click(".scrub .row:nth-child(1) button");
    browser.wait(&format!("{shown}.startsWith('k = 10 ')"));

    browser.view("plane");
    let settled = "document.querySelector('.plane .big').getAttribute('aria-busy') === 'false'";
    browser.wait(settled);
    let first = browser.pixels(".plane .big", false);
    assert!(first == made(&browser.command(".plane"), &out));
    browser.is_named();
    browser.shoot("plane");
    // the handle is at (0.3, 0.2) of a map from -1 to 1
    let (home, there) = ((0.65, 0.6), (0.25, 0.3));
    for _ in 0..2 {
        browser.drag(".map", &[home, (0.4, 0.45), there]);
        browser.wait(settled);
        let away = browser.pixels(".plane .big", false);
        assert!(away != first, "a drag moves the picture");
        assert!(away == made(&browser.command(".plane"), &out));
        browser.drag(".map", &[there, home]);
        browser.wait(settled);
        assert!(browser.pixels(".plane .big", false) == first, "a drag back, and the first picture is there again");
    }
    browser.click(".plane .command button");
    browser.wait("/clipboard|selected/.test(document.getElementById('status').innerText)");

    browser.view("samples");
    browser.wait("document.querySelectorAll('.tile canvas').length >= 32 && document.querySelector('.batches .command:not([hidden])')");
    assert!(browser.pixels(".batches section:first-child canvas", false) == made(&browser.command(".batches"), &out));
    browser.click("[data-image='3']");
    browser.wait(
        "[...document.querySelectorAll('.side figcaption')].filter((at) => /^\\d+: /.test(at.innerText)).length === 5",
    );
    assert!(browser.pixels(".side .strip:nth-of-type(2) figure:last-child canvas", false).len() >= 32 * 32 * 3);
    browser.is_named();
    browser.shoot("samples");
    browser.is_clean();
}

#[test]
fn a_dropped_picture_is_reconstructed_and_a_painted_mask_keeps_what_is_observed() {
    let place = folder();
    let (sample, npy) = (place.path().join("sample.png"), place.path().join("r.npy"));
    srm(&["sample", "--weights", "fashion32", "--count", "1", "--seed", "5", "--out", text(&sample)]).done();
    let served = Served::new(&["fashion32"], &place.path().join("pictures"));
    let Some(browser) = Browser::open(&served) else { return };
    browser.view("picture");
    let bytes = format!("{:?}", fs::read(&sample).expect("a picture"));
    browser.wait("document.querySelector('.picture .drop')");
    browser.run(&format!(
        "const data = new DataTransfer();
         data.items.add(new File([new Uint8Array({bytes})], 'sample.png', {{ type: 'image/png' }}));
         document.querySelector('.drop').dispatchEvent(new DragEvent('drop', {{ dataTransfer: data, bubbles: true }}))"
    ));
    browser.wait(
        "!document.querySelector('.picture .main').disabled && document.querySelector('.paintable').offsetParent",
    );
    let set = |label: &str, value: &str| {
        browser.run(&format!(
            "const label = [...document.querySelectorAll('label')].find((at) => at.innerText === '{label}');
             const field = document.getElementById(label.htmlFor);
             field.value = '{value}';
             field.dispatchEvent(new Event('change'))"
        ))
    };
    set("Iterations", "20");
    let done = |browser: &Browser| {
        browser.click(".picture .main");
        browser.wait("/^Done in/.test(document.getElementById('status').innerText)");
        browser.command(".picture")
    };
    let whole = done(&browser);
    let errors = || -> Vec<f64> {
        // each place of the slider tells its error
        let found = browser.run(
            "const slider = [...document.querySelectorAll('.bench input[type=range]')].find((at) => at.max === '21');
             return Array.from({ length: 22 }, (_, i) => {
                 slider.value = i;
                 slider.dispatchEvent(new Event('input'));
                 return document.querySelector('.bench figure:last-child > p').innerText.split(' ').at(-1);
             })",
        );
        found
            .as_array()
            .expect("errors")
            .iter()
            .map(|word| word.as_str().and_then(|word| word.parse().ok()).expect("a number"))
            .collect()
    };
    let fallen = errors();
    assert!(fallen[21] < 0.5 * fallen[0], "{fallen:?}");
    let shown = browser.pixels(".bench figure:last-child canvas", true);
    assert!(shown == made(&whole, &npy), "{whole}");
    browser.is_named();
    browser.shoot("picture");

    // paint over the lower half
    browser.drag(".paintable", &[(0.0, 0.75), (0.999, 0.75)]);
    let letters =
        browser.wait("/pixels are to be filled in/.test(document.querySelector('.bench').innerText) && location.hash");
    assert!(letters.as_str().expect("a hash").contains("picture="));
    let masked = done(&browser);
    let file = |flag: &str| {
        let found = masked.as_str().expect("a command").split_whitespace().skip_while(|word| *word != flag).nth(1);
        found.expect("a file").trim_matches('\'').to_owned()
    };
    let painted: Vec<bool> = {
        let stripes = browser.pixels(".paintable", false);
        stripes.chunks(3).map(|rgb| rgb[0] != rgb[1]).collect() // a garment is grey, paint is not
    };
    let image = |path: &str| png_pixels(&fs::read(root().join(path)).expect("a file of the page")).2;
    let observed = image(&file("--mask"));
    assert!(observed.iter().zip(&painted).all(|(&byte, &paint)| byte == if paint { 0 } else { 255 }), "{masked}");
    assert!(painted.iter().any(|&paint| paint) && !painted.iter().all(|&paint| paint));
    let fallen = errors();
    assert!(fallen[21] < 0.5 * fallen[0], "of the observed pixels: {fallen:?}");
    assert!(browser.pixels(".bench figure:last-child canvas", true) == made(&masked, &npy));
    let found = read_npy(&npy).1;
    let target = image(&file("--images"));
    let off = |keep: bool| {
        let of: Vec<f64> =
            (0..found.len()).filter(|&i| painted[i] != keep).map(|i| f64::from(found[i].abs_diff(target[i]))).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    assert!(off(true) < 25.0, "the observed pixels are off by {} grey levels, the others by {}", off(true), off(false));
    browser.shoot("inpainted");
    browser.is_clean();
}

/// The last update that the page tells of a run in the list, and its state.
const TOLD: &str =
    "(/(training|stopped|finished), update (\\d+)/.exec(document.querySelector('.runs').innerText) ?? [])";

#[test]
fn curves_grow_while_a_run_trains_and_it_may_roll_back_begin_anew_and_go_away() {
    let place = folder();
    let run = place.path().join("run");
    // the rate jumps at update 300: rollbacks, until it is small enough or none are left
    let settings = [
        "train.updates=100000",
        "train.learning_rate=[[0,5e-5],[300,5e-5],[300,1e3]]",
        "log.every=2",
        "checkpoint.every=20",
        "watch.rollbacks=2",
        "evaluate.every=100",
        "evaluate.count=8",
    ];
    let train = |more: &[&str]| {
        let mut process = command(&["train", "--config", "configs/smoke.json", "--run", text(&run)]);
        process.args(settings.iter().flat_map(|set| ["--set", set])).args(more);
        Training(process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("srm"))
    };
    let mut first = train(&[]);
    let begun = Instant::now();
    while !run.join("metrics.jsonl").exists() && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(20));
    }
    let served = Served::new(&[text(&run)], &place.path().join("pictures"));
    let Some(browser) = Browser::open(&served) else { return };
    let update =
        || browser.wait(&format!("{TOLD}[2]")).as_str().and_then(|word| word.parse::<u64>().ok()).expect("a number");
    let until = |condition: &str| browser.wait(&format!("{TOLD}[1] === 'training' && Number({TOLD}[2]) {condition}"));
    let seen = update();
    until(&format!("> {seen} + 10"));
    let drawn = "Number(document.querySelector('.u-legend .u-value').innerText)";
    browser.wait(&format!("{drawn} > {seen} + 10"));

    browser.wait("document.querySelectorAll('.cards .chart canvas').length === 1"); // a score has come
    browser.wait("[...document.querySelectorAll('.cards td')].some((at) => at.innerText === 'rollback')");
    browser.wait(&format!("{TOLD}[1] === 'stopped'"));
    assert!(!first.0.wait().expect("an end").success(), "no rollback is left");
    let rollbacks = "[...document.querySelectorAll('.cards td')].filter((at) => at.innerText === 'rollback').length";
    assert_eq!(browser.run(&format!("return {rollbacks}")), json!(2));
    browser.shoot("rolled-back");

    let mut second = train(&["--overwrite"]);
    browser.wait("/begun anew|the run goes on/.test(document.getElementById('status').innerText)");
    until("< 290");
    assert_eq!(browser.run(&format!("return {rollbacks}")), json!(0), "the log is that of the new run");
    second.0.kill().expect("a process");
    second.0.wait().expect("its end");
    browser.wait(&format!("{TOLD}[1] === 'stopped'"));

    fs::remove_dir_all(&run).expect("a folder");
    browser.wait("/the folder of this run is gone/.test(document.getElementById('status').innerText)");
    assert!(
        browser.run("return document.querySelectorAll('.charts canvas').length").as_u64() == Some(6),
        "what was read stays"
    );
    let mut third = train(&[]);
    until("> 0");
    third.0.kill().expect("a process");
    browser.is_clean();
}

/// A training that ends with its test.
struct Training(Child);

impl Drop for Training {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
