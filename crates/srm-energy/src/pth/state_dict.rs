//! Find every tensor of a file under the dotted name that leads to it, and read those that are asked for.

use super::container::Container;
use super::pickle::{Id, Object, Pickle, short};
use super::strided::row_major;
use super::{Problem, Read, damaged};
use crate::weights::{Entry, Value, float_tensor};
use std::borrow::Cow;
use std::collections::HashMap;
use tch::Tensor;

/// Levels of dicts and lists within each other that are searched.
const DEEPEST: usize = 8;
/// A bound on tensors in all dicts of a file.
const MOST_TENSORS: usize = 10_000;
/// Bytes of names that a file may have whatever its size: a few tensors in few bytes have long names.
const FREE_NAMES: usize = 1 << 16;

/// The tensors of an opened file, read one by one.
pub(super) struct Reader<'a> {
    file: Container<'a>,
    /// Storages that have been read, by name.
    storages: HashMap<String, Cow<'a, [u8]>>,
    /// Bytes that tensors may still take.
    budget: usize,
}

impl<'a> Reader<'a> {
    /// The file's tensors, and strangers, by name; memory for the tensors read later: at most 16 times the file's size.
    pub(super) fn new(file: Container<'a>, file_size: usize) -> Read<(Self, Vec<Entry>)> {
        if let Object::Stranger(class) = file.pickle.object() {
            return Err(Problem::Other(
                format!("an object of {class}, whose code is not run"),
                "in PyTorch write its weights alone: torch.save(net.state_dict(), path)",
            ));
        }
        let budget = 16 * file_size;
        let mut search = Search {
            pickle: &file.pickle,
            within: Vec::new(),
            visits: FREE_NAMES + budget,
            names: FREE_NAMES + budget,
            tensors: 0,
            found: Vec::new(),
        };
        search.collect(file.pickle.top, "")?;
        let found = search.found;
        Ok((Self { file, storages: HashMap::new(), budget }, found))
    }

    /// The values of an entry as f32.
    pub(super) fn float(&mut self, entry: &Entry) -> Read<Tensor> {
        let (Object::Tensor(record), name) = (&self.file.pickle.objects[entry.object], &entry.name) else {
            return damaged(format!("`{}` is no tensor", entry.name));
        };
        let Object::Storage(storage) = &self.file.pickle.objects[record.storage] else {
            return damaged(format!("tensor `{name}` has no storage"));
        };
        let (record, storage) = (record.clone(), storage.clone());
        if !self.storages.contains_key(&storage.key) {
            self.storages.insert(storage.key.clone(), self.file.storage(&storage)?);
        }
        let bytes = row_major(name, &record, &storage, &self.storages[&storage.key], &mut self.budget)?;
        float_tensor(name, storage.number, &record.shape, &bytes).map_err(Problem::Tensor)
    }
}

/// A walk through dicts and lists.
struct Search<'a> {
    pickle: &'a Pickle,
    /// The dicts and lists that the walk is in: one that holds itself is not entered again.
    within: Vec<Id>,
    /// Members that may still be looked at: few dicts that hold each other often make many ways.
    visits: usize,
    /// Bytes that names may still take.
    names: usize,
    tensors: usize,
    found: Vec<Entry>,
}

impl Search<'_> {
    /// Everything in a dict or list, whose name is `path`.
    fn collect(&mut self, id: Id, path: &str) -> Read<()> {
        if self.within.len() >= DEEPEST || self.within.contains(&id) {
            return Ok(());
        }
        self.within.push(id);
        let pickle = self.pickle;
        match &pickle.objects[id] {
            Object::Dict(pairs) => {
                for &(key, value) in pairs {
                    match &pickle.objects[key] {
                        Object::Text(key) => self.member(path, key, value)?,
                        Object::Int(key) => self.member(path, &key.to_string(), value)?,
                        _ => {}
                    }
                }
            }
            Object::Sequence(items) => {
                for (index, &value) in items.iter().enumerate() {
                    self.member(path, &index.to_string(), value)?;
                }
            }
            _ => {}
        }
        self.within.pop();
        Ok(())
    }

    /// One member of the dict or list `path`.
    fn member(&mut self, path: &str, key: &str, id: Id) -> Read<()> {
        let object = &self.pickle.objects[id];
        let Some(left) = self.visits.checked_sub(1) else { return damaged("the dicts hold each other too often") };
        self.visits = left;
        if !matches!(object, Object::Dict(_) | Object::Sequence(_) | Object::Tensor(_) | Object::Stranger(_)) {
            return Ok(());
        }
        let key = match (short(key), object) {
            (Ok(key), _) => key,
            (Err(problem), Object::Tensor(_)) => return Err(problem),
            (Err(_), _) => return Ok(()), // a text and what belongs to it, no module
        };
        let Some(left) = self.names.checked_sub(path.len() + key.len()) else {
            return damaged("the names in it need more than 16 times the file's size");
        };
        self.names = left;
        let name = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let value = match object {
            Object::Tensor(record) => match &self.pickle.objects[record.storage] {
                Object::Storage(storage) => Value::Tensor { shape: record.shape.clone(), number: storage.number },
                Object::Stranger(class) => Value::Stranger(class.clone()),
                _ => return damaged(format!("tensor `{name}` has no storage")),
            },
            Object::Stranger(class) => Value::Stranger(class.clone()),
            _ => return self.collect(id, &name),
        };
        self.tensors += usize::from(matches!(value, Value::Tensor { .. }));
        if self.tensors > MOST_TENSORS {
            return damaged(format!("the file has more than {MOST_TENSORS} tensors, far more than a state_dict"));
        }
        let own = name.len() - key.len();
        self.found.push(Entry { name, own, value, object: id });
        Ok(())
    }
}
