//! Make the objects of the allowed classes: dicts, storages, tensors.

use super::{Class, Id, Machine, Object, Record, Storage, short};
use crate::pth::{Read, damaged};
use crate::weights::Number;

/// The allow-list. Sources: torch/_utils.py, torch/storage.py, torch/serialization.py (PyTorch 2.11).
pub(super) fn class(module: &str, name: &str) -> Option<Class> {
    let number = match (module, name) {
        ("collections", "OrderedDict") => return Some(Class::OrderedDict),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => return Some(Class::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => return Some(Class::RebuildParameter),
        ("torch", "Size") => return Some(Class::Size),
        ("torch" | "torch.cuda", "FloatStorage") => Number::F32,
        ("torch" | "torch.cuda", "DoubleStorage") => Number::F64,
        ("torch" | "torch.cuda", "HalfStorage") => Number::F16,
        ("torch" | "torch.cuda", "BFloat16Storage") => Number::BF16,
        ("torch" | "torch.cuda", "LongStorage") => Number::Other("i64", 8),
        ("torch" | "torch.cuda", "IntStorage") => Number::Other("i32", 4),
        ("torch" | "torch.cuda", "ShortStorage") => Number::Other("i16", 2),
        ("torch" | "torch.cuda", "CharStorage") => Number::Other("i8", 1),
        ("torch" | "torch.cuda", "ByteStorage") => Number::Other("u8", 1),
        ("torch" | "torch.cuda", "BoolStorage") => Number::Other("bool", 1),
        _ => return None,
    };
    Some(Class::Storage(number))
}

impl Machine<'_> {
    /// Call an allowed class.
    pub(super) fn reduce(&mut self) -> Read<()> {
        let arguments = self.pop()?;
        let callee = self.pop()?;
        let Object::Sequence(arguments) = &self.objects[arguments] else { return damaged("a call has no arguments") };
        let Object::Class(class) = &self.objects[callee] else { return damaged("the pickle calls what is no class") };
        let made = match (class, &arguments[..]) {
            (Class::OrderedDict, []) => Object::Dict(Vec::new()),
            (Class::OrderedDict, &[pairs]) => Object::Dict(self.pairs(pairs)?),
            (Class::Size, &[sizes]) => {
                self.sequence(sizes)?;
                self.stack.push(sizes);
                return Ok(());
            }
            (Class::RebuildTensor, &[storage, offset, shape, strides, ..]) => Object::Tensor(Record {
                storage,
                offset: self.natural(offset)?,
                shape: self.naturals(shape)?,
                strides: self.naturals(strides)?,
            }),
            (Class::RebuildParameter, &[tensor, ..]) => {
                // The parameter is its tensor.
                self.stack.push(tensor);
                return Ok(());
            }
            _ => return damaged(format!("{class:?} is called with {} arguments", arguments.len())),
        };
        self.charge(match &made {
            Object::Dict(pairs) => size_of_val(&pairs[..]),
            Object::Tensor(record) => size_of_val(&record.shape[..]) + size_of_val(&record.strides[..]),
            _ => 0,
        })?;
        self.push(made)
    }

    /// Count bytes that a call copied.
    fn charge(&mut self, bytes: usize) -> Read<()> {
        match self.copies.checked_sub(bytes) {
            None => damaged("the pickle's objects need more than 16 times the file's size"),
            Some(left) => {
                self.copies = left;
                Ok(())
            }
        }
    }

    /// `('storage', class, key, device, elements)`, in the older format with a sixth item, `(key, first, elements)` or None.
    pub(super) fn persistent_storage(&mut self) -> Read<()> {
        let id = self.pop()?;
        let &[_, class, key, _, numel, ref view @ ..] = self.sequence(id)? else {
            return damaged("a storage is not described by five items");
        };
        let Object::Class(Class::Storage(number)) = self.objects[class] else {
            return damaged("a storage has no class");
        };
        let Object::Text(key) = &self.objects[key] else { return damaged("a storage has no name") };
        let view = match view.first().map(|&view| (view, &self.objects[view])) {
            None | Some((_, Object::None)) => None,
            Some((view, _)) => match *self.sequence(view)? {
                [_, first, elements] => Some((self.natural(first)?, self.natural(elements)?)),
                _ => return damaged("a view of a storage is not described by three items"),
            },
        };
        let storage = Storage { key: short(key)?.to_owned(), number, numel: self.natural(numel)?, view };
        self.charge(storage.key.len())?;
        self.push(Object::Storage(storage))
    }

    fn sequence(&self, id: Id) -> Read<&[Id]> {
        match &self.objects[id] {
            Object::Sequence(items) => Ok(items),
            _ => damaged("a list is expected and something else stands there"),
        }
    }

    fn pairs(&self, id: Id) -> Read<Vec<(Id, Id)>> {
        let pair = |&id: &Id| match self.sequence(id)? {
            &[key, value] => Ok((key, value)),
            _ => damaged("an OrderedDict is made of something else than pairs"),
        };
        self.sequence(id)?.iter().map(pair).collect()
    }

    fn natural(&self, id: Id) -> Read<usize> {
        match self.objects[id] {
            Object::Int(number) => usize::try_from(number).or_else(|_| damaged(format!("{number} is no size"))),
            _ => damaged("a size is no whole number"),
        }
    }

    /// Sizes or strides; PyTorch's tensors have at most 64 dimensions.
    fn naturals(&self, id: Id) -> Read<Vec<usize>> {
        match self.sequence(id)? {
            items if items.len() > 64 => damaged("a tensor has more than 64 dimensions"),
            items => items.iter().map(|&item| self.natural(item)).collect(),
        }
    }
}
