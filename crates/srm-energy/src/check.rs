//! Check that an energy keeps the contract of its traits: what a test of an energy of your own calls.
//!
//! [`contract`] is all that chains, adjoints and worker threads rely on; [`training`] what a trainer does. For an energy that
//! has some of the traits alone there are [`gradient`], [`curvature`] and [`replica`].
//!
//! ```
//! use srm_energy::{Energy, Result, check};
//! use tch::{Device, Kind, Tensor};
//!
//! /// f(x) = −(‖x‖ − 1)²/2: a ring.
//! struct Ring;
//!
//! impl Energy for Ring {
//!     fn f_and_grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
//!         let radius = x.f_norm_scalaropt_dim(2, [1i64], true)?; // [b, 1]
//!         let off = radius.f_sub_scalar(1)?;
//!         Ok((off.f_square()?.f_mul_scalar(-0.5)?.f_squeeze_dim(1)?, x.f_div(&radius)?.f_mul(&off)?.f_neg()?))
//!     }
//! }
//!
//! check::gradient(&Ring, &Tensor::randn([4, 2], (Kind::Double, Device::Cpu)))?;
//! # Ok::<(), srm_energy::EnergyError>(())
//! ```

use crate::{Curved, Energy, EnergyError, Replicate, Result, Trainable};
use srm_random::{Key, Purpose, normal};
use tch::{Kind, Tensor};

/// Steps of the finite differences, tried in turn: too long a step bends, too short a one drowns in rounding.
const STEPS: [f64; 8] = [1e-1, 3e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7];

/// What a difference may be off, of the size of what it stands for: f32 has seven digits, of which a difference loses half. In f64
/// the step can be so short that it crosses few kinks of a ReLU net, which is what remains.
fn tolerance(kind: Kind) -> f64 {
    if kind == Kind::Double { 1e-2 } else { 2e-2 }
}

/// What another batch around a sample may change by rounding, of the largest number.
fn rounding(kind: Kind) -> f64 {
    if kind == Kind::Double { 1e-10 } else { 1e-4 }
}

/// [`gradient`], [`curvature`] and [`replica`].
///
/// # Shapes
/// `x`: a batch of two or more different samples, `[b, …]`, of typical size. In f64 a ReLU or LeakyReLU net, too, has differences that
/// say something; give the check a copy of the net in f64.
///
/// # Errors
/// [`EnergyError::Contract`] says which rule is broken, and what the energy itself returns.
pub fn contract<E: Curved + Replicate>(energy: &E, x: &Tensor) -> Result<()> {
    gradient(energy, x)?;
    curvature(energy, x)?;
    replica(energy, x)
}

/// f and f' have their shapes, row i does not affect row j, and f' is what differences of f say.
///
/// # Errors
/// As in [`contract`].
pub fn gradient(energy: &(impl Energy + ?Sized), x: &Tensor) -> Result<()> {
    let b = batch(x)?;
    let (f, slope) = energy.f_and_grad(x)?;
    same_shape("f(x)", &f, &[b])?;
    same_shape("f'(x)", &slope, &x.size())?;
    let limit = rounding(x.kind());
    hold("f and f_and_grad give the same f", apart(&energy.f(x)?, &f)?, limit)?;
    // another last sample
    let others = x.f_narrow(0, 0, b - 1)?;
    let last = x.f_narrow(0, b - 1, 1)?.f_mul_scalar(-0.5)?.f_add_scalar(0.25)?;
    let (other_f, other_slope) = energy.f_and_grad(&Tensor::f_cat(&[&others, &last], 0)?)?;
    let head = |tensor: &Tensor| tensor.f_narrow(0, 0, b - 1);
    let rule =
        "row j of the batch does not affect f of row i (batch normalisation does: normalise each sample by itself)";
    hold(rule, apart(&head(&other_f)?, &head(&f)?)?, limit)?;
    hold("row j of the batch does not affect f' of row i", apart(&head(&other_slope)?, &head(&slope)?)?, limit)?;
    let alone = energy.f(&x.f_narrow(0, 0, 1)?)?;
    hold("a batch of one gives the f of a larger batch", apart(&alone, &f.f_narrow(0, 0, 1)?)?, limit)?;

    let v = direction(x, 0)?;
    let along = sums(&slope.f_mul(&v)?)?;
    let size = sums(&slope.f_square()?)?.f_sqrt()?.f_max()?.f_double_value(&[])?;
    let off = best(|h| {
        let [above, below] = beside(x, &v, h)?.map(|x| energy.f(&x));
        let difference = above?.f_sub(&below?)?.f_to_kind(Kind::Double)?.f_div_scalar(2.0 * h)?;
        largest(&difference.f_sub(&along)?)
    })?;
    hold("f' is the derivative of f (central differences)", off / size.max(f64::MIN_POSITIVE), tolerance(x.kind()))
}

/// The Hessian-vector product is symmetric, and what differences of f' say.
///
/// # Errors
/// As in [`contract`].
pub fn curvature(energy: &(impl Curved + ?Sized), x: &Tensor) -> Result<()> {
    if !energy.has_curvature() {
        return Ok(()); // nobody asks for the product then
    }
    batch(x)?;
    let (u, v) = (direction(x, 1)?, direction(x, 2)?);
    let (of_u, of_v) = (energy.hvp(x, &u)?, energy.hvp(x, &v)?);
    same_shape("the Hessian-vector product", &of_v, &x.size())?;
    let size = sums(&of_v.f_square()?)?.f_sqrt()?.f_max()?.f_double_value(&[])?.max(f64::MIN_POSITIVE);
    let asymmetry = largest(&sums(&u.f_mul(&of_v)?)?.f_sub(&sums(&v.f_mul(&of_u)?)?)?)?;
    let length = largest(&sums(&u.f_square()?)?)?.sqrt();
    hold(
        "the Hessian-vector product is symmetric: u·∇²f v = v·∇²f u",
        asymmetry / (size * length),
        rounding(x.kind()),
    )?;
    let off = best(|h| {
        let [above, below] = beside(x, &v, h)?.map(|x| energy.f_and_grad(&x));
        let difference = above?.1.f_sub(&below?.1)?.f_div_scalar(2.0 * h)?;
        Ok(largest(&sums(&difference.f_sub(&of_v)?.f_square()?)?)?.sqrt())
    })?;
    hold("the Hessian-vector product is the derivative of f' (central differences)", off / size, tolerance(x.kind()))
}

/// A replica gives the same f and f' on another thread.
///
/// # Errors
/// As in [`contract`].
pub fn replica<E: Replicate>(energy: &E, x: &Tensor) -> Result<()> {
    let (f, slope) = energy.f_and_grad(x)?;
    let (replica, there) = (energy.replica(), x.f_detach()?.f_detach_copy()?);
    let found = std::thread::spawn(move || tch::no_grad(|| replica.f_and_grad(&there))).join();
    let (other_f, other_slope) = found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let limit = rounding(x.kind());
    hold("a replica on another thread gives the same f", apart(&other_f, &f)?, limit)?;
    hold("a replica on another thread gives the same f'", apart(&other_slope, &slope)?, limit)
}

/// ∂θ is what differences of f say, its sum is weighted by the coefficients, replicas see the weights change, copies do not.
/// The weights are as before in the end.
///
/// # Errors
/// As in [`contract`].
pub fn training<E: Trainable>(energy: &E, x: &Tensor) -> Result<()> {
    let b = batch(x)?;
    let c = Tensor::f_linspace(-1.0, 1.5, b, (x.kind(), x.device()))?;
    let (f, gradients) = energy.f_and_parameter_grad(x, &c)?;
    same_shape("f(x) beside ∂θ", &f, &[b])?;
    hold("f_and_parameter_grad gives the f of f_and_grad", apart(&f, &energy.f(x)?)?, rounding(x.kind()))?;
    let parameters = energy.named_parameters();
    let shapes: Vec<i64> = vec![parameters.len() as i64];
    if gradients.len() != parameters.len() {
        let got = vec![gradients.len() as i64];
        return Err(EnergyError::Shape { what: "the list of ∂θ, one per parameter,", expected: shapes, got });
    }
    let directions = (3..).zip(&parameters).map(|(id, (_, parameter))| direction(parameter, id));
    let directions = directions.collect::<Result<Vec<_>>>()?;
    let (mut along, mut square) = (0.0, 0.0);
    for ((gradient, direction), (_, parameter)) in gradients.iter().zip(&directions).zip(&parameters) {
        same_shape("∂θ of a parameter", gradient, &parameter.size())?;
        along += number(&gradient.f_mul(direction)?)?;
        square += number(&gradient.f_square()?)?;
    }
    let (replica, fork) = (energy.replica(), energy.fork()?);
    let before = parameters.iter().map(|(_, own)| Ok(own.f_detach()?.f_detach_copy()?)).collect::<Result<Vec<_>>>()?;
    let value = |energy: &E| number(&energy.f(x)?.f_mul(&c)?);
    let at_rest = value(&fork)?;
    let put = |h: f64| -> Result<()> {
        for ((_, own), (before, direction)) in parameters.iter().zip(before.iter().zip(&directions)) {
            tch::no_grad(|| own.shallow_clone().f_copy_(&before.f_add(&direction.f_mul_scalar(h)?)?))?;
        }
        Ok(())
    };
    let mut seen = 0.0f64;
    let off = best(|h| {
        put(h)?;
        let above = value(energy)?;
        seen = seen.max((value(&replica)? - above).abs() / above.abs().max(1.0));
        put(-h)?;
        Ok(((above - value(energy)?) / (2.0 * h) - along).abs())
    });
    let kept = value(&fork);
    put(0.0)?;
    let size = square.sqrt().max(f64::MIN_POSITIVE);
    hold("∂θ is the derivative of Σ cᵢ f(xᵢ) (central differences)", off? / size, tolerance(x.kind()))?;
    hold("a replica sees the weights change", seen, rounding(x.kind()))?;
    let moved = (kept? - at_rest).abs() / at_rest.abs().max(1.0);
    hold("a copy has weights of its own", moved, rounding(x.kind()))
}

/// Samples in the batch.
fn batch(x: &Tensor) -> Result<i64> {
    match x.size()[..] {
        [b, ..] if b >= 2 => Ok(b),
        _ => Err(EnergyError::Shape {
            what: "the batch to check with, two or more samples,",
            expected: vec![2],
            got: x.size(),
        }),
    }
}

fn same_shape(what: &'static str, tensor: &Tensor, expected: &[i64]) -> Result<()> {
    match tensor.size() == expected {
        true => Ok(()),
        false => Err(EnergyError::Shape { what, expected: expected.to_vec(), got: tensor.size() }),
    }
}

fn hold(rule: &'static str, off: f64, limit: f64) -> Result<()> {
    // not a number is off, too
    match off <= limit {
        true => Ok(()),
        false => Err(EnergyError::Contract { rule, off, limit }),
    }
}

/// N(0, 1) numbers in the shape, kind and place of `like`, the same for the same `id`: unlike libtorch's generator, which all
/// threads share, no other test can disturb them.
///
/// # Errors
/// [`EnergyError::Torch`].
pub fn direction(like: &Tensor, id: u64) -> Result<Tensor> {
    let mut values = vec![0.0; like.numel()];
    normal(&Key { id, ..Key::new(1, Purpose::Synthetic) }, &mut values);
    Ok(Tensor::f_from_slice(&values)?.f_reshape(like.size())?.f_to_kind(like.kind())?.f_to_device(like.device())?)
}

/// x + h v and x − h v.
fn beside(x: &Tensor, v: &Tensor, h: f64) -> Result<[Tensor; 2]> {
    Ok([x.f_add(&v.f_mul_scalar(h)?)?, x.f_sub(&v.f_mul_scalar(h)?)?])
}

/// The least that any of the steps is off.
fn best(mut off: impl FnMut(f64) -> Result<f64>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for h in STEPS {
        least = least.min(off(h)?);
    }
    Ok(least)
}

/// The sum over each sample, f64 `[b]`.
fn sums(x: &Tensor) -> Result<Tensor> {
    let flat = x.f_reshape([x.size()[0], -1])?.f_to_kind(Kind::Double)?;
    Ok(flat.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?)
}

fn number(x: &Tensor) -> Result<f64> {
    Ok(x.f_sum(Kind::Double)?.f_double_value(&[])?)
}

fn largest(x: &Tensor) -> Result<f64> {
    Ok(x.f_abs()?.f_max()?.f_double_value(&[])?)
}

/// The largest difference, of the largest number.
fn apart(a: &Tensor, b: &Tensor) -> Result<f64> {
    Ok(largest(&a.f_sub(b)?)? / largest(b)?.max(f64::MIN_POSITIVE))
}
