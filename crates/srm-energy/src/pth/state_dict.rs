//! Pick the one dict of tensors and copy each tensor out of its storage.

use super::container::Container;
use super::pickle::{Id, Object, Pickle, Record, Storage, short};
use super::{Problem, Read, damaged};
use crate::weights::{float_tensor, is_counter, layer_of, published_name};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use tch::Tensor;

/// Levels of dicts within dicts that are searched.
const DEEPEST: usize = 4;
/// A bound on tensors in all dicts of a file.
const MOST_TENSORS: usize = 10_000;

/// A dict with tensors in it, and the keys that lead there.
struct Candidate {
    path: String,
    tensors: Vec<(String, Id)>,
    /// Whether every name is one of our nets'.
    ours: bool,
}

/// The tensors of the file's state_dict as f32. Memory: at most 16 times the file's size.
pub(super) fn tensors(file: &mut Container<'_>, file_size: usize) -> Read<Vec<(String, Tensor)>> {
    let chosen = choose(&file.pickle)?;
    let mut storages: HashMap<String, Cow<'_, [u8]>> = HashMap::new();
    let mut budget = 16 * file_size;
    let mut tensors = Vec::new();
    for (name, id) in chosen.tensors.into_iter().filter(|(name, _)| !is_counter(name)) {
        let Object::Tensor(record) = &file.pickle.objects[id] else { continue };
        let Object::Storage(storage) = &file.pickle.objects[record.storage] else {
            return damaged(format!("tensor `{name}` has no storage"));
        };
        let (record, storage) = (record.clone(), storage.clone());
        if !storages.contains_key(&storage.key) {
            storages.insert(storage.key.clone(), file.storage(&storage)?);
        }
        let bytes = row_major(&name, &record, &storage, &storages[&storage.key], &mut budget)?;
        let tensor = float_tensor(&name, storage.number, &record.shape, &bytes).map_err(Problem::Tensor)?;
        tensors.push((name, tensor));
    }
    Ok(tensors)
}

/// The only dict with tensors, or the only one whose names are those of our nets.
fn choose(pickle: &Pickle) -> Read<Candidate> {
    let mut search = Search { pickle, seen: HashSet::new(), tensors: 0, found: Vec::new() };
    search.collect(pickle.top, String::new(), 0)?;
    let mut found = search.found;
    if found.iter().any(|candidate| candidate.ours) {
        found.retain(|candidate| candidate.ours);
    }
    match (found.len(), found.pop()) {
        (1, Some(candidate)) => Ok(candidate),
        (_, None) => Err(Problem::NoStateDict("no dict of tensors".to_owned())),
        (_, Some(last)) => {
            let paths: Vec<_> = found.iter().chain([&last]).take(8).map(|candidate| candidate.path.clone()).collect();
            Err(Problem::NoStateDict(format!("several dicts of tensors: {}", paths.join(", "))))
        }
    }
}

/// All dicts with tensors in them.
struct Search<'a> {
    pickle: &'a Pickle,
    seen: HashSet<Id>,
    tensors: usize,
    found: Vec<Candidate>,
}

impl Search<'_> {
    fn collect(&mut self, id: Id, path: String, depth: usize) -> Read<()> {
        let objects = &self.pickle.objects;
        let Object::Dict(pairs) = &objects[id] else { return Ok(()) };
        if depth > DEEPEST || !self.seen.insert(id) {
            return Ok(());
        }
        let mut tensors = Vec::new();
        for &(key, value) in pairs {
            if !matches!(objects[value], Object::Tensor(_) | Object::Dict(_)) {
                continue;
            }
            let name = match &objects[key] {
                Object::Text(text) => short(text)?.to_owned(),
                Object::Int(number) => number.to_string(),
                _ => continue,
            };
            if matches!(objects[value], Object::Dict(_)) {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                self.collect(value, path, depth + 1)?;
                continue;
            }
            self.tensors += 1;
            if self.tensors > MOST_TENSORS {
                return damaged(format!("the file has more than {MOST_TENSORS} tensors, far more than a state_dict"));
            }
            tensors.push((name, value));
        }
        if !tensors.is_empty() {
            let ours = tensors.iter().all(|(name, _)| layer_of(&published_name(name)).is_some());
            let path = if path.is_empty() { "the outermost".to_owned() } else { path };
            self.found.push(Candidate { path, tensors, ours });
        }
        Ok(())
    }
}

/// The tensor's bytes in row-major order.
fn row_major(name: &str, record: &Record, storage: &Storage, whole: &[u8], budget: &mut usize) -> Read<Vec<u8>> {
    let width = storage.number.width();
    if storage.numel.checked_mul(width).is_none_or(|needed| needed > whole.len()) {
        let Storage { key, numel, .. } = storage;
        return damaged(format!("storage {key} has {} bytes for {numel} elements", whole.len()));
    }
    let outside = || damaged(format!("tensor `{name}` reaches outside its storage"));
    let Record { offset, shape, strides, .. } = record;
    if shape.len() != strides.len() {
        return damaged(format!("tensor `{name}` has {} sizes and {} strides", shape.len(), strides.len()));
    }
    let (first, numel) = storage.view.unwrap_or((0, storage.numel));
    if first.checked_add(numel).is_none_or(|end| end > storage.numel) {
        return outside();
    }
    let Some(count) = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size)) else { return outside() };
    if count == 0 {
        return Ok(Vec::new());
    }
    let reach = shape.iter().zip(strides).try_fold(*offset, |reach, (&size, &stride)| {
        (size - 1).checked_mul(stride).and_then(|step| reach.checked_add(step))
    });
    if reach.is_none_or(|reach| reach >= numel) {
        return outside();
    }
    // f32 whatever the kind in the file, and the bytes themselves
    let Some(left) = count.checked_mul(4 + width).and_then(|cost| budget.checked_sub(cost)) else {
        return damaged("the tensors need more than 16 times the file's size");
    };
    *budget = left;

    let mut bytes = Vec::with_capacity(count * width);
    let mut index = vec![0usize; shape.len()];
    let mut at = first + offset;
    loop {
        bytes.extend_from_slice(&whole[at * width..(at + 1) * width]);
        // the next index, like an odometer; beyond an axis' end `at` may wrap around, and comes back
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return Ok(bytes);
            }
            axis -= 1;
            index[axis] += 1;
            at = at.wrapping_add(strides[axis]);
            if index[axis] < shape[axis] {
                break;
            }
            at = at.wrapping_sub(strides[axis].wrapping_mul(shape[axis]));
            index[axis] = 0;
        }
    }
}
