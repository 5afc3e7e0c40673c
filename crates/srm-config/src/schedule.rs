//! Follow a value over the updates: a number, or knots with straight lines between them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

use crate::fields::is_not_negative_f32;

/// A value that follows the updates: piecewise linear between knots, constant outside them. Two knots at one update
/// are a jump, where the later value holds. JSON: a number, or `[[update, value], …]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    knots: Vec<(u64, f64)>,
}

impl Schedule {
    /// What a schedule in JSON must look like.
    pub(crate) const RULE: &'static str = "must be a number >= 0 or [[update, value], ...] with updates that never fall (at most two alike: a jump) and values >= 0 that f32 holds, up to 3.4e38";

    /// The same value at every update.
    pub fn constant(value: f64) -> Schedule {
        Schedule { knots: vec![(0, value)] }
    }

    /// Knots `(update, value)` in order. `None` unless there is at least one, every value is >= 0 and finite in f32, the
    /// updates never fall and at most two are alike.
    pub fn from_knots(mut knots: Vec<(u64, f64)>) -> Option<Schedule> {
        let ordered = knots.windows(2).all(|pair| pair[0].0 <= pair[1].0);
        let crowded = knots.windows(3).any(|three| three[0].0 == three[2].0);
        let sound = knots.iter().all(|&(_, value)| is_not_negative_f32(value));
        if knots.is_empty() || !ordered || crowded || !sound {
            return None;
        }
        if let [(update, _)] = &mut knots[..] {
            *update = 0; // one knot is a constant: one form for equal schedules
        }
        Some(Schedule { knots })
    }

    /// The value at an update.
    pub fn at(&self, update: u64) -> f64 {
        let after = self.knots.partition_point(|&(knot, _)| knot <= update);
        if after == 0 {
            return self.knots[0].1;
        }
        let (left, from) = self.knots[after - 1];
        let Some(&(right, to)) = self.knots.get(after) else { return from };
        let share = (update - left) as f64 / (right - left) as f64;
        from * (1.0 - share) + to * share
    }

    /// The same before `first`, and 0 from there on.
    #[must_use]
    pub fn zero_from(&self, first: u64) -> Schedule {
        let mut knots: Vec<_> = self.knots.iter().copied().take_while(|&(knot, _)| knot < first).collect();
        if first > 0 && knots.last().is_none_or(|&(knot, _)| knot < first - 1) {
            knots.push((first - 1, self.at(first - 1)));
        }
        knots.push((first, 0.0));
        Schedule { knots }
    }

    /// The knots `(update, value)`; one of them is a constant.
    pub fn knots(&self) -> &[(u64, f64)] {
        &self.knots
    }

    pub(crate) fn from_value(value: &Value) -> Option<Schedule> {
        match value {
            Value::Number(_) => Schedule::from_knots(vec![(0, value.as_f64()?)]),
            Value::Array(knots) => knots
                .iter()
                .map(|knot| match knot.as_array()?.as_slice() {
                    [update, value] => Some((crate::fields::whole(update)?, value.as_f64()?)),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>()
                .and_then(Schedule::from_knots),
            _ => None,
        }
    }
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Schedule {
        Schedule::constant(value)
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.knots.as_slice() {
            [(_, value)] => serializer.serialize_f64(*value),
            knots => knots.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Schedule, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Schedule::from_value(&value).ok_or_else(|| D::Error::custom(format!("{value}: {}", Schedule::RULE)))
    }
}
