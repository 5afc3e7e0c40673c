//! Check that what an earlier program has written is gone on with.

use super::{RunIn, survive::trainer};
use crate::{End, RunFolder, tensor_file};
use srm_config::Config;
use srm_langevin::Stop;
use srm_run::{Environment, Lock};
use std::fs;
use std::path::Path;

/// `cargo run -p srm-cli -- train --config config.json --device cpu` at c86a672, before nets and stores became anybody's: the
/// checkpoint of update 4, and weights and moments of update 8.
#[test]
fn a_checkpoint_of_an_earlier_program_goes_on_to_the_same_weights() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/run_c86a672");
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    fs::create_dir_all(run.join("checkpoints/000004")).unwrap();
    for name in ["config.json", "metrics.jsonl"] {
        fs::copy(fixture.join(name), run.join(name)).unwrap();
    }
    for entry in fs::read_dir(fixture.join("checkpoints/000004")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), run.join("checkpoints/000004").join(entry.file_name())).unwrap();
    }
    let config = Config::load(run.join("config.json"), &[]).unwrap();
    let mut trainer = trainer(folder.path(), &config);
    let fingerprint = trainer.data().fingerprint().unwrap();
    let (sink, found) =
        RunFolder::resume(Lock::take(&run).unwrap(), &config, Environment::default(), &fingerprint).unwrap();
    assert!(found.changes.is_empty(), "{:?}", found.changes);
    assert!(found.differences.iter().all(|difference| !difference.contains("images")), "{:?}", found.differences);
    let saved = found.saved.unwrap();
    assert_eq!((saved.state.update, saved.ema.is_some(), saved.replay_buffer.is_some()), (4, true, true));
    trainer.restore(&saved).unwrap();
    assert_eq!(trainer.run_in(sink, &Stop::default()).unwrap(), End::Finished);
    for name in ["weights", "optimizer"] {
        let ours = tensor_file::load(&run.join(format!("checkpoints/000008/{name}.safetensors"))).unwrap();
        let theirs = tensor_file::load(&fixture.join(format!("{name}_000008.safetensors"))).unwrap();
        assert_eq!(ours.len(), theirs.len());
        for (name, ours) in &ours {
            let theirs = &theirs.iter().find(|(other, _)| other == name).expect("the same names").1;
            // another processor rounds otherwise; ADAM's steps are of 1e-4, and four of them are made
            let difference = (ours - theirs).abs().max().double_value(&[]);
            assert!(difference <= 2e-5, "{name}: {difference:.1e}");
        }
    }
}
