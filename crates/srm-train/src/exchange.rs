//! Exchange what the ranks of a team found in an update: numbers an image, and the sum of the weights' gradient.
//!
//! MPI does not fix the order in which it adds, so the sum is not its: partial sums go up a tree of ranks in log₂ steps, each rank
//! adding by the tree over blocks of [`crate::tree`], and the root comes down again. Bits do not depend on the number of ranks.

use crate::team::{Team, gather_numbers};
use crate::tree::PartialSum;
use crate::{Result, TrainError};
use srm_run::Details;
use tch::{Device, Kind, Tensor};

/// What a rank says in place of a step where it has dropped its part of the update: earlier than any step.
const DROPPED: f64 = -1.0;

/// What is known of each image of a batch.
#[derive(Default)]
pub(crate) struct Measured {
    /// The earliest Langevin step at which a chain was no longer finite.
    pub(crate) bad_step: Option<usize>,
    /// f(x⁺).
    pub(crate) f_data: Vec<f64>,
    /// f(x⁻).
    pub(crate) f_sample: Vec<f64>,
    /// r of the chain.
    pub(crate) r: Vec<f64>,
    /// Sum and sum of squares of the sample's pixels.
    pub(crate) pixels: [Vec<f64>; 2],
}

impl Measured {
    /// That of all ranks, in their order; `None` where any rank has dropped its part of the update and gives `None`.
    pub(crate) fn of_all(mine: Option<Self>, team: &dyn Team) -> Result<Option<Self>> {
        let dropped = mine.is_none();
        let mine = mine.unwrap_or_default();
        let count = mine.r.len();
        // columns may be empty where a chain blew up; f64 holds every step
        let column = |values: Vec<f64>| values.into_iter().chain(std::iter::repeat(f64::NAN)).take(count);
        let [sums, squares] = mine.pixels;
        let columns = [mine.f_data, mine.f_sample, mine.r, sums, squares];
        let first = if dropped { DROPPED } else { mine.bad_step.map_or(f64::INFINITY, |step| step as f64) };
        let mine: Vec<f64> = std::iter::once(first).chain(columns.into_iter().flat_map(column)).collect();
        let mut bad_step = f64::INFINITY;
        let mut all: [Vec<f64>; 5] = Default::default();
        for (rank, numbers) in gather_numbers(team, &mine)?.into_iter().enumerate() {
            let Some((step, columns)) = numbers.split_first().filter(|(_, rest)| rest.len().is_multiple_of(all.len()))
            else {
                return Err(unreadable(rank));
            };
            bad_step = bad_step.min(*step);
            let count = columns.len() / all.len();
            for (i, column) in all.iter_mut().enumerate() {
                column.extend(&columns[i * count..(i + 1) * count]);
            }
        }
        if bad_step == DROPPED {
            return Ok(None);
        }
        let [f_data, f_sample, r, sums, squares] = all;
        let bad_step = bad_step.is_finite().then_some(bad_step as usize);
        Ok(Some(Self { bad_step, f_data, f_sample, r, pixels: [sums, squares] }))
    }

    /// The numbers an image, as a sink takes them.
    pub(crate) fn details(&self) -> Details {
        let single = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        Details { f_data: single(&self.f_data), f_sample: single(&self.f_sample), chain_grad_norm: single(&self.r) }
    }

    /// Standard deviation of all pixels of the samples; `image` pixels each.
    pub(crate) fn pixel_std(&self, image: usize) -> f64 {
        let count = (self.r.len() * image) as f64;
        let [mean, square] = self.pixels.each_ref().map(|sums| sums.iter().sum::<f64>() / count);
        (square - mean * mean).max(0.0).sqrt()
    }
}

/// The sum over all blocks of all ranks, at every rank, in the tree's order.
///
/// # Shapes
/// One f32 `[parameters]` a block; out: the same, on the device of `device`.
pub(crate) fn sum(team: &dyn Team, mut mine: PartialSum, device: Device) -> Result<Tensor> {
    let (rank, size) = (team.rank(), team.size());
    let mut step = 1;
    while step < size {
        if rank & step != 0 {
            team.send(rank - step, &to_message(&mine)?)?;
            break;
        }
        if rank + step < size {
            add_message(&mut mine, &team.receive(rank + step)?, rank, device)?;
        }
        step *= 2;
    }
    if rank > 0 {
        return Ok(tensor(&team.broadcast(Vec::new())?)?.f_to_device(device)?);
    }
    let missing = || TrainError::Team { rank, reason: "a block of the gradient is missing".to_owned() };
    let root = mine.into_root().ok_or_else(missing)?;
    if size > 1 {
        let mut bytes = Vec::new();
        append(&mut bytes, &root)?;
        team.broadcast(bytes)?;
    }
    Ok(root)
}

/// Rows of all ranks in their order, at every rank.
///
/// # Shapes
/// f32 `[n, …]`; every rank has its own n, 0 too.
///
/// # Errors
/// [`TrainError::Team`], [`TrainError::Torch`].
pub fn all_rows(team: &dyn Team, mine: &Tensor) -> Result<Tensor> {
    if team.size() == 1 {
        return Ok(mine.shallow_clone());
    }
    let mut bytes = Vec::new();
    append(&mut bytes, mine)?;
    let all = team.all_gather(bytes)?.iter().map(|bytes| tensor(bytes)).collect::<Result<Vec<_>>>()?;
    let mut shape = mine.size();
    let all = Tensor::f_cat(&all, 0)?;
    shape[0] = all.numel() as i64 / shape[1..].iter().product::<i64>().max(1);
    Ok(all.f_reshape(shape)?.f_to_device(mine.device())?)
}

/// Send a tensor's numbers to another rank.
///
/// # Errors
/// [`TrainError::Team`], [`TrainError::Torch`].
pub fn send_tensor(team: &dyn Team, to: usize, tensor: &Tensor) -> Result<()> {
    let mut bytes = Vec::new();
    append(&mut bytes, &tensor.f_to_kind(Kind::Float)?)?;
    team.send(to, &bytes)
}

/// The numbers that another rank sends by [`send_tensor`], f32 `[n]` on the CPU.
///
/// # Errors
/// [`TrainError::Team`], [`TrainError::Torch`].
pub fn receive_tensor(team: &dyn Team, from: usize) -> Result<Tensor> {
    tensor(&team.receive(from)?)
}

/// Bytes of a node's place: first block and level.
const PLACE: usize = 12;

/// The nodes of a partial sum: their number (4 bytes), their places, their tensors, all of one length.
fn to_message(sum: &PartialSum) -> Result<Vec<u8>> {
    let mut bytes = (sum.nodes().len() as u32).to_le_bytes().to_vec();
    for (first, level) in sum.nodes().keys() {
        bytes.extend(first.to_le_bytes());
        bytes.extend(level.to_le_bytes());
    }
    sum.nodes().values().try_for_each(|terms| append(&mut bytes, terms))?;
    Ok(bytes)
}

fn unreadable(rank: usize) -> TrainError {
    TrainError::Team { rank, reason: "a message of another rank cannot be read".to_owned() }
}

/// Add the nodes of a message.
fn add_message(sum: &mut PartialSum, bytes: &[u8], rank: usize, device: Device) -> Result<()> {
    let unreadable = || unreadable(rank);
    let (count, rest) = bytes.split_first_chunk::<4>().ok_or_else(unreadable)?;
    let count = u32::from_le_bytes(*count) as usize;
    let (places, terms) = rest.split_at_checked(count * PLACE).ok_or_else(unreadable)?;
    for (place, terms) in places.chunks(PLACE).zip(terms.chunks((terms.len() / count.max(1)).max(1))) {
        let (first, level) = place.split_first_chunk::<8>().ok_or_else(unreadable)?;
        let level = u32::from_le_bytes(level.try_into().map_err(|_| unreadable())?);
        let place = (u64::from_le_bytes(*first), level);
        if !sum.has_place(place) {
            return Err(unreadable());
        }
        sum.add(place, tensor(terms)?.f_to_device(device)?)?;
    }
    Ok(())
}

/// Add a tensor's numbers, f32 in the order of bytes that libtorch's processors share: little-endian.
pub(crate) fn append(bytes: &mut Vec<u8>, tensor: &Tensor) -> Result<()> {
    let flat = tensor.f_to_device(Device::Cpu)?.f_contiguous()?;
    let start = bytes.len();
    bytes.resize(start + 4 * flat.numel(), 0);
    flat.f_copy_data_u8(&mut bytes[start..], flat.numel())?;
    Ok(())
}

/// The numbers as a tensor `[n]` on the CPU.
fn tensor(bytes: &[u8]) -> Result<Tensor> {
    Ok(Tensor::f_from_data_size(bytes, &[bytes.len() as i64 / 4], Kind::Float)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Alone;

    /// A rank 0 to which the other rank sends these bytes.
    struct Told(Vec<u8>);

    impl Team for Told {
        fn rank(&self) -> usize {
            0
        }

        fn size(&self) -> usize {
            2
        }

        fn send(&self, to: usize, bytes: &[u8]) -> Result<()> {
            Alone.send(to, bytes)
        }

        fn receive(&self, _from: usize) -> Result<Vec<u8>> {
            Ok(self.0.clone())
        }

        fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
            Ok(bytes)
        }

        fn all_gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
            Ok(vec![bytes, self.0.clone()])
        }
    }

    fn of_all(numbers: &[f64]) -> Result<Option<Measured>> {
        let one = || vec![1.0];
        let mine = Measured { bad_step: None, f_data: one(), f_sample: one(), r: one(), pixels: [one(), one()] };
        Measured::of_all(Some(mine), &Told(numbers.iter().flat_map(|number| number.to_le_bytes()).collect()))
    }

    #[test]
    fn numbers_of_another_rank_that_are_no_columns_are_refused() {
        let all = of_all(&[4.0, 2.0, 3.0, 5.0, 6.0, 7.0]).unwrap().unwrap();
        assert_eq!((all.bad_step, all.r, all.pixels), (Some(4), vec![1.0, 5.0], [vec![1.0, 6.0], vec![1.0, 7.0]]));
        assert!(of_all(&[DROPPED]).unwrap().is_none(), "one rank has dropped its part of the update");
        for numbers in [&[][..], &[4.0, 2.0], &[4.0, 2.0, 3.0, 5.0, 6.0, 7.0, 8.0]] {
            let error = of_all(numbers).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("a message of another rank cannot be read"), "{error}");
        }
    }

    #[test]
    fn a_gradient_of_another_rank_at_no_place_of_the_tree_is_refused() {
        let message = |first: u64, level: u32| {
            [&1u32.to_le_bytes()[..], &first.to_le_bytes(), &level.to_le_bytes(), &2f32.to_le_bytes()].concat()
        };
        let total = |message: Vec<u8>| {
            let mut mine = PartialSum::new(2);
            mine.add_block(0, Tensor::from_slice(&[1f32]))?;
            sum(&Told(message), mine, Device::Cpu)
        };
        assert_eq!(total(message(1, 0)).unwrap().double_value(&[0]), 3.0);
        for (first, level) in [(2, 0), (1, 1), (0, 64), (u64::MAX, u32::MAX)] {
            let error = total(message(first, level)).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("a message of another rank cannot be read"), "{error}");
        }
    }
}
