//! Choose the steps at which a chain's numbers and pictures are kept.

use std::collections::BTreeSet;

/// Points of a logarithmic plan in each decade of steps.
const A_DECADE: f64 = 32.0;

/// The steps at which numbers and pictures are kept. x at step 0 is the start z.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    numbers: BTreeSet<usize>,
    pictures: BTreeSet<usize>,
}

impl Plan {
    /// Numbers at every step from 0 to `last`, pictures at some of them.
    pub fn every_step(last: usize, pictures: &[usize]) -> Self {
        let pictures = pictures.iter().copied().filter(|step| *step <= last).collect();
        Self { numbers: (0..=last).collect(), pictures }
    }

    /// Numbers at 32 steps per decade, pictures at 0, 10, 30, 100, 300, …; both at `trained`, the K of training, and at `last`.
    pub fn logarithmic(last: usize, trained: usize) -> Self {
        let grid = (0..).map(|i| 10f64.powf(f64::from(i) / A_DECADE).round() as usize);
        let ends = [0, trained.min(last), last];
        let decades = (1..).map(|power| 10usize.saturating_pow(power)).take_while(|step| *step <= last);
        let pictures = decades.flat_map(|step| [step, step.saturating_mul(3)]).filter(|step| *step <= last);
        Self {
            numbers: grid.take_while(|step| *step <= last).chain(ends).collect(),
            pictures: pictures.chain(ends).collect(),
        }
    }

    /// Whether numbers are kept at the step.
    pub fn numbers_at(&self, step: usize) -> bool {
        self.numbers.contains(&step)
    }

    /// Whether a picture is kept at the step.
    pub fn picture_at(&self, step: usize) -> bool {
        self.pictures.contains(&step)
    }

    /// The last step of the plan.
    pub fn last(&self) -> usize {
        self.numbers.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_plan_holds_the_shorter_one_but_for_its_end() {
        let (short, long) = (Plan::logarithmic(2500, 30), Plan::logarithmic(100_000, 30));
        assert_eq!(
            long.pictures.iter().copied().collect::<Vec<_>>(),
            [0, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000]
        );
        let beyond: Vec<_> = short.numbers.difference(&long.numbers).collect();
        assert_eq!(beyond, [&2500]);
        assert_eq!((long.last(), Plan::logarithmic(0, 30).last()), (100_000, 0));
        assert!(long.numbers.len() < 180, "{}", long.numbers.len());
    }
}
