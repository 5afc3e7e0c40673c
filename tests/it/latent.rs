//! The short run as a generator, from outside: interpolation and reconstruction.

use std::fs;

use serde_json::Value;

use crate::common::{folder, png_size, read_npy, root, smoke, srm, text, write_npy};

fn weights() -> &'static str {
    text(&smoke().0)
}

/// Eight samples of the smoke run as .npy and as a folder of pictures.
fn samples(place: &std::path::Path) -> (String, String) {
    let (npy, pngs) = (place.join("x.npy"), place.join("pictures"));
    for out in [&npy, &pngs] {
        srm(&["sample", "--weights", weights(), "--count", "8", "--out", text(out)]).done();
    }
    (text(&npy).to_owned(), text(&pngs).to_owned())
}

#[test]
fn rows_begin_and_end_at_the_samples_of_the_seed() {
    let place = folder();
    let (npy, _) = samples(place.path());
    let (out, rows, moving) = (place.path().join("r.png"), place.path().join("r.npy"), place.path().join("m.png"));
    let arguments = ["interpolate", "--weights", weights(), "--pairs", "3", "--points", "5", "--out", text(&out)];
    let more = ["--npy", text(&rows), "--animate", text(&moving), "--json"];
    let said = srm(&[&arguments[..], &more].concat()).done().json();
    assert_eq!(said["shape"], serde_json::json!([15, 32, 32, 3]));
    assert_eq!(png_size(&out), (5 * 34 + 2, 3 * 34 + 2));
    // --noise fixed is the default: the left end of row p is image 2p of `srm sample`
    let (all, image) = (read_npy(&rows).1, 32 * 32 * 3);
    let drawn = read_npy(std::path::Path::new(&npy)).1;
    for row in 0..3 {
        assert_eq!(all[row * 5 * image..][..image], drawn[2 * row * image..][..image], "row {row}");
    }
    let smoothness = &said["smoothness"];
    assert_eq!(smoothness["neighbours"][2].as_array().map(Vec::len), Some(4));
    assert!(smoothness["largest"].as_f64() <= smoothness["ends"][0].as_f64().map(|ends| 2.0 * ends), "{smoothness}");
    let animation = fs::read(&moving).expect("written");
    assert!(animation.windows(4).any(|chunk| chunk == b"acTL"), "an animated PNG");
    // without noise the rows are others, and repeat
    let quiet = |name: &str| {
        let path = place.path().join(name);
        srm(&[&arguments[..], &["--npy", text(&path), "--noise", "off"]].concat()).done();
        read_npy(&path).1
    };
    assert_eq!(quiet("a.npy"), quiet("b.npy"));
    assert_ne!(quiet("a.npy"), all);
}

#[test]
fn images_are_found_again_whatever_their_form() {
    let place = folder();
    let (npy, pngs) = samples(place.path());
    let out = place.path().join("figure.png");
    let reconstruct = |images: &str, more: &[&str]| {
        let common =
            ["reconstruct", "--weights", weights(), "--images", images, "--out", text(&out), "--iterations", "30"];
        srm(&[&common[..], &["--json"], more].concat()).done()
    };
    let (from_array, from_folder) = (reconstruct(&npy, &[]).json(), reconstruct(&pngs, &[]).json());
    assert_eq!(from_array["mse"], from_folder["mse"], "the same images in another form");
    let curve: Vec<f64> = from_array["curve"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    assert_eq!(curve.len(), 31);
    // from another start noise the error per pixel is about 2/3 at first: twice the variance of uniform noise
    assert!(curve[0] > 0.2 && from_array["mean_mse"].as_f64().is_some_and(|mse| mse < 0.5 * curve[0]), "{curve:?}");
    // iterates at 6 shares of T, the best, the target
    assert_eq!(png_size(&out), (8 * 34 + 2, 8 * 34 + 2));
    let one = reconstruct(&format!("{pngs}/000002.png"), &[]).json();
    assert_eq!(one["count"], 1);
    for method in ["gradient", "residual"] {
        let said =
            reconstruct(&npy, &["--method", method, "--count", "2", "--latent", "support", "--starts", "2"]).json();
        assert_eq!((said["method"].as_str(), said["count"].as_u64()), (Some(method), Some(2)));
    }
}

#[test]
fn masks_and_noise_are_taken_into_account() {
    let place = folder();
    let (npy, _) = samples(place.path());
    let out = place.path().join("figure.png");
    // a mask of 16 × 32 white above black, as an image file of another size
    let mask = place.path().join("mask.npy");
    write_npy(&mask, "|u1", "(1, 32, 32, 1)", 0);
    let mut bytes = fs::read(&mask).expect("written");
    bytes.extend((0..32 * 32).map(|pixel| if pixel < 512 { 255u8 } else { 0 }));
    fs::write(&mask, bytes).expect("a writable folder");
    let common = [
        "reconstruct",
        "--weights",
        weights(),
        "--images",
        &npy,
        "--out",
        text(&out),
        "--iterations",
        "20",
        "--step",
        "0.05",
        "--json",
    ];
    let inpainted = srm(&[&common[..], &["--mask", text(&mask)]].concat()).done().json();
    assert_eq!(inpainted["count"], 8);
    assert_eq!(png_size(&out).0, 9 * 34 + 2, "one more column: what was observed");
    let denoised = srm(&[&common[..], &["--observed-noise", "0.4"]].concat()).done().json();
    let curve = denoised["curve"].as_array().expect("a list").len();
    assert!(
        curve < 21 && denoised["mse"].as_array().expect("a list").iter().all(|mse| mse.as_f64() <= Some(0.16)),
        "{denoised}"
    );
    write_npy(&mask, "|u1", "(1, 32, 32, 1)", 0);
    let mut bytes = fs::read(&mask).expect("written");
    bytes.extend([0u8; 1024]);
    fs::write(&mask, bytes).expect("a writable folder");
    srm(&[&common[..], &["--mask", text(&mask)]].concat()).failed_with(1, &["observes no pixel", "white (255)"]);
}

#[test]
fn bad_input_is_refused_with_a_remedy() {
    let place = folder();
    let (npy, pngs) = samples(place.path());
    let out = place.path().join("o.png");
    let base = ["reconstruct", "--weights", weights(), "--out", text(&out), "--images"];
    let reconstruct = |images: &str, more: &[&str]| srm(&[&base[..], &[images], more].concat());
    for (flag, value) in
        [("--iterations", "0"), ("--steps", "0"), ("--step", "0"), ("--observed-noise", "-1"), ("--method", "x")]
    {
        let run = reconstruct(&npy, &[flag, value]);
        assert_eq!(run.code, 2, "{flag} {value}: {}", run.stderr);
    }
    let grey = place.path().join("grey.npy");
    write_npy(&grey, "|u1", "(2, 32, 32, 1)", 2048);
    reconstruct(text(&grey), &[]).failed_with(1, &["grey.npy", "1 channels, where the net has 3"]);
    let float = place.path().join("float.npy");
    write_npy(&float, "<f4", "(1, 32, 32, 3)", 12_288);
    reconstruct(text(&float), &[])
        .failed_with(1, &["float.npy", "<f4 [1, 32, 32, 3]", "* 255.0).round().astype('u1')"]);
    reconstruct("no/such.npy", &[]).failed_with(1, &["no/such.npy", "do not exist"]);
    let empty = place.path().join("empty");
    fs::create_dir(&empty).expect("a writable folder");
    reconstruct(text(&empty), &[]).failed_with(1, &["is empty"]);
    fs::write(empty.join("broken.png"), "no picture").expect("a writable folder");
    reconstruct(text(&empty), &[]).failed_with(1, &["broken.png"]);
    // larger pictures are made to fit, with a warning
    let large = place.path().join("large.npy");
    write_npy(&large, "|u1", "(1, 48, 64, 3)", 48 * 64 * 3);
    let run = reconstruct(text(&large), &["--iterations", "1"]).done();
    assert!(run.stderr.contains("cut to the middle square and resized"), "{}", run.stderr);
    let two = place.path().join("two.npy");
    write_npy(&two, "|u1", "(2, 32, 32, 1)", 2048);
    reconstruct(&npy, &["--mask", text(&two)]).failed_with(2, &["2 masks for 8 images"]);
    let state_dict = root().join("crates/srm-energy/fixtures/pth/plain.pth");
    srm(&["interpolate", "--weights", text(&state_dict), "--out", text(&out)])
        .failed_with(1, &["no Langevin settings", "--config"]);
    srm(&["interpolate", "--weights", weights(), "--out", text(&out), "--points", "1"]).failed_with(2, &["at least 2"]);
    assert!(fs::metadata(pngs).is_ok());
}
