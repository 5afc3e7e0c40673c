//! Check that a stop is obeyed at once, whatever is in hand, and takes no bit of the run with it.

use super::survive::{bytes, metrics, resume, trainer};
use super::{RunIn, config, create};
use crate::{End, Snapshot, Store, Why};
use srm_langevin::Stop;
use srm_run::{Due, newest};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn a_stop_at_any_moment_drops_what_is_in_hand_and_no_bit_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    // chains long enough that a stop meets one; a grid at every second update
    let config = config(&["log.every=1", "log.samples_every=2", "langevin.steps=60", "train.ema=0.9"]);
    trainer(folder.path(), &config).run_in(create(&whole, &config), &Stop::default()).unwrap();
    let (mut stops, mut grids_due, mut patience) = (0, 0, Duration::from_millis(1));
    loop {
        let begun = Instant::now();
        let stop = Stop::when(move || begun.elapsed() >= patience);
        patience = patience.mul_f64(1.4); // so that the run comes to its end
        let (end, from) = resume(folder.path(), &broken, &config, &stop);
        let End::Interrupted { update } = end else { break };
        assert!(update >= from, "a stop takes no update back");
        stops += 1;
        if let (Some((_, file)), _) = newest(&broken.join("checkpoints"), |_, _| true).unwrap() {
            grids_due += usize::from(file.state.due == Due::GridAndScore);
        }
    }
    assert!(stops > 5 && grids_due > 0, "{stops} stops, {grids_due} at a grid");
    assert!(bytes(&whole.join("checkpoints/000012")) == bytes(&broken.join("checkpoints/000012")));
    assert_eq!(metrics(&whole), metrics(&broken));
    for update in [2, 4, 6, 8, 10, 12] {
        let name = format!("samples/x_{update:06}.png");
        assert_eq!(fs::read(whole.join(&name)).unwrap(), fs::read(broken.join(&name)).unwrap(), "{name}");
    }
}

#[test]
fn a_stop_is_obeyed_in_the_middle_of_a_long_chain() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let config = config(&["langevin.steps=100000"]); // minutes
    let begun = Instant::now();
    let stop = Stop::when(move || begun.elapsed() > Duration::from_millis(300));
    let mut trainer = trainer(folder.path(), &config);
    assert_eq!(trainer.run_in(create(&run, &config), &stop).unwrap(), End::Interrupted { update: 0 });
    drop(trainer);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(fs::read_dir(run.join("checkpoints")).unwrap().next().is_none(), "nothing is done, so nothing is saved");
}

/// Keeps why checkpoints were asked for, and asks to stop after the first.
struct Asked(Vec<Why>, Arc<AtomicBool>);

impl Store for Asked {
    fn save(&mut self, _snapshot: &Snapshot, why: Why) -> crate::Result<()> {
        self.0.push(why);
        self.1.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn newest(&mut self, _before: Option<u64>) -> crate::Result<Option<Snapshot>> {
        Ok(None)
    }
}

#[test]
fn a_stop_right_after_a_checkpoint_saves_again_since_that_one_may_have_failed_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (config, asked) = (config(&[]), Arc::new(AtomicBool::new(false)));
    let stop = Stop::when({
        let asked = Arc::clone(&asked);
        move || asked.load(Ordering::Relaxed)
    });
    let mut store = Asked(Vec::new(), asked);
    let end = trainer(folder.path(), &config).run(&mut store, &mut (), &stop).unwrap();
    assert_eq!((end, store.0), (End::Interrupted { update: 4 }, vec![Why::Regular, Why::Interrupt]));
}
