//! What a stranger's program does with srm: an energy and a net of its own, chains, training with a rollback, a resumed run.
//!
//! One file for two places: a test of the workspace, and a cargo project outside it. Both must print the same numbers.

use srm::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// f(x) = −2(‖x‖ − 1)²: a ring.
pub struct Ring;

impl Energy for Ring {
    fn f_and_grad(&self, x: &Tensor) -> srm::energy::Result<(Tensor, Tensor)> {
        let radius = x.f_norm_scalaropt_dim(2, [1i64], true)?;
        let off = radius.f_sub_scalar(1)?;
        let gradient = x.f_div(&radius)?.f_mul(&off)?.f_mul_scalar(-4.0)?;
        Ok((off.f_square()?.f_mul_scalar(-2.0)?.f_squeeze_dim(1)?, gradient))
    }
}

impl Replicate for Ring {
    fn replica(&self) -> Self {
        Ring
    }
}

const SPREAD: Spread = Spread { threads: 2, block: 16 };

/// Spoils one evaluation of the net after update 25, and stops a run after update 35.
struct Meddler {
    spoil: Arc<AtomicBool>,
    stop: Option<Arc<AtomicBool>>,
    rollbacks: usize,
}

impl Sink for Meddler {
    fn record(&mut self, record: &StepRecord, _: &PerImage) -> srm::train::Result<()> {
        if record.update == 25 && record.attempt == 0 {
            self.spoil.store(true, Ordering::SeqCst);
        }
        if let (35, Some(stop)) = (record.update, &self.stop) {
            stop.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    fn rolled_back(&mut self, _: &srm::train::Rollback) -> srm::train::Result<()> {
        self.rollbacks += 1;
        Ok(())
    }
}

type Error = Box<dyn std::error::Error>;

/// An MLP that gives no number once `spoil` is set.
fn trainer(spoil: &Arc<AtomicBool>) -> Result<Trainer<Autograd>, Error> {
    let spoil = Arc::clone(spoil);
    let weights = fresh_weights(3, &[("hidden", &[32, 2]), ("out", &[1, 32])])?;
    let net = Autograd::new(weights, move |w, x| {
        let h = x.linear(&w["hidden.weight"], Some(&w["hidden.bias"])).silu();
        let f = h.linear(&w["out.weight"], Some(&w["out.bias"]));
        if spoil.swap(false, Ordering::SeqCst) { f * f64::NAN } else { f }
    })?;
    let angle = Tensor::arange(200, (Kind::Float, Device::Cpu)) * (std::f64::consts::TAU / 200.0);
    let ring = Tensor::stack(&[angle.cos() * 0.7, angle.sin() * 0.7], 1);
    let kernel = Kernel { gradient_scale: 0.02, noise_std: 0.05, clip: None };
    let dynamics = Dynamics::new(kernel, 10, Start::Uniform);
    let mut settings = Settings::new(dynamics, 50, 32, 1e-3);
    (settings.log.every, settings.checkpoint.every) = (1, 10);
    Ok(Trainer::new(net, ring, settings, SPREAD)?)
}

/// All weights in one number, exact to the last bit.
fn weights(trainer: &Trainer<Autograd>) -> String {
    let sum = |(name, weight): (String, Tensor)| {
        let bits = Vec::<f32>::try_from(weight.reshape([-1])).unwrap_or_default();
        let mixed = bits.iter().fold(0u64, |mixed, value| mixed.rotate_left(5) ^ u64::from(value.to_bits()));
        format!("{name} {mixed:016x}")
    };
    trainer.net().named_parameters().into_iter().map(sum).collect::<Vec<_>>().join(", ")
}

/// Do it all; the numbers.
pub fn run() -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    check::gradient(&Ring, &Tensor::from_slice(&[0.5, 0.2, -1.0, 0.7, 0.1, 2.0]).reshape([3, 2]))?;
    let dynamics = Dynamics::new(Kernel::eq4(0.02), 300, Start::Gaussian);
    let sampler = Sampler::new(&Ring, dynamics, &[2], SPREAD);
    let (Outcome::Finished(Samples { x }), _) = sampler.run(&Chains::samples(1, 500), |_| ())? else {
        return Err("the chains blew up".into());
    };
    let radius = x.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double).sqrt().mean(Kind::Double);
    lines.push(format!("mean radius {:.9}", radius.double_value(&[])));

    let spoil = Arc::new(AtomicBool::new(false));
    let mut whole = trainer(&spoil)?;
    let mut meddler = Meddler { spoil: Arc::clone(&spoil), stop: None, rollbacks: 0 };
    let end = whole.run(&mut MemoryStore::default(), &mut meddler, &Stop::default())?;
    lines.push(format!("{end:?} with {} rollbacks: {}", meddler.rollbacks, weights(&whole)));

    let (mut store, stop) = (MemoryStore::default(), Arc::new(AtomicBool::new(false)));
    let asked = Arc::clone(&stop);
    let mut meddler = Meddler { spoil: Arc::clone(&spoil), stop: Some(stop), rollbacks: 0 };
    let end = trainer(&spoil)?.run(&mut store, &mut meddler, &Stop::when(move || asked.load(Ordering::SeqCst)))?;
    lines.push(format!("{end:?}"));
    let mut resumed = trainer(&spoil)?;
    resumed.restore(store.last().ok_or("nothing was kept")?)?;
    let end = resumed.run(&mut store, &mut (), &Stop::default())?;
    lines.push(format!("{end:?} after it went on: {}", weights(&resumed)));
    Ok(lines)
}
