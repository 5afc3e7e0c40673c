//! Make the objects of the classes that are followed, dicts, storages and tensors, and strangers of all others.

use super::{Class, Id, Machine, Object, Record, Storage, short};
use crate::pth::{Read, damaged};
use crate::weights::Number;

/// What a global stands for: a class on the list, or a stranger. Sources of the list: torch/_utils.py, torch/_tensor.py,
/// torch/storage.py, torch/serialization.py (PyTorch 2.11).
fn global(module: &str, name: &str) -> Object {
    let class = match (module, name) {
        ("collections", "OrderedDict") => Some(Class::OrderedDict),
        ("collections", "defaultdict") => Some(Class::DefaultDict),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Some(Class::RebuildTensor),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Some(Class::RebuildParameter),
        ("torch._tensor", "_rebuild_from_type_v2") => Some(Class::RebuildFromType),
        ("torch", "Size") => Some(Class::Size),
        ("torch" | "torch.cuda" | "torch.storage", name) => storage(name).map(Class::Storage),
        _ => None,
    };
    class.map_or_else(|| Object::Stranger(format!("{module}.{name}").into()), Object::Class)
}

/// The numbers of a class of storages.
fn storage(name: &str) -> Option<Number> {
    Some(match name {
        "FloatStorage" => Number::F32,
        "DoubleStorage" => Number::F64,
        "HalfStorage" => Number::F16,
        "BFloat16Storage" => Number::BF16,
        "LongStorage" => Number::Other("i64", 8),
        "IntStorage" => Number::Other("i32", 4),
        "ShortStorage" => Number::Other("i16", 2),
        "CharStorage" => Number::Other("i8", 1),
        "ByteStorage" => Number::Other("u8", 1),
        "BoolStorage" => Number::Other("bool", 1),
        "ComplexFloatStorage" => Number::Other("complex64", 8),
        "ComplexDoubleStorage" => Number::Other("complex128", 16),
        "QInt8Storage" => Number::Other("qint8", 1),
        "QUInt8Storage" => Number::Other("quint8", 1),
        "QInt32Storage" => Number::Other("qint32", 4),
        "UntypedStorage" => Number::Other("untyped bytes", 1),
        _ => return None,
    })
}

impl Machine<'_> {
    pub(super) fn push_global(&mut self, module: &str, name: &str) -> Read<()> {
        let object = global(module, name);
        if let Object::Stranger(name) = &object {
            self.charge(name.len())?;
        }
        self.push(object)
    }

    /// Call a class or function: one on the list is followed, any other gives a stranger of its name.
    pub(super) fn reduce(&mut self) -> Read<()> {
        let arguments = self.pop()?;
        let callee = self.pop()?;
        match &self.objects[callee] {
            Object::Stranger(name) => self.push(Object::Stranger(name.clone())),
            Object::Class(Class::RebuildFromType) => match *self.sequence(arguments)? {
                [function, _, arguments, ..]
                    if matches!(self.objects[function], Object::Class(Class::RebuildTensor)) =>
                {
                    self.call(Class::RebuildTensor, arguments)
                }
                _ => self.push(Object::Stranger("torch._tensor._rebuild_from_type_v2".into())),
            },
            &Object::Class(class) => self.call(class, arguments),
            _ => damaged("the pickle calls what is no class"),
        }
    }

    fn call(&mut self, class: Class, arguments: Id) -> Read<()> {
        let arguments = self.sequence(arguments)?;
        let made = match (class, arguments) {
            (Class::OrderedDict, []) | (Class::DefaultDict, [] | [_]) => Object::Dict(Vec::new()),
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

    /// What lies outside the pickle: a storage, `('storage', class, key, device, elements)`, in the older format with a sixth
    /// item, `(key, first, elements)` or None; or, in the older format, a class with its source, `('module', class, …)`.
    pub(super) fn persistent(&mut self) -> Read<()> {
        let id = self.pop()?;
        let &[kind, class, ref rest @ ..] = self.sequence(id)? else {
            return damaged("a storage is not described by five items");
        };
        if matches!(&self.objects[kind], Object::Text(kind) if kind == "module") {
            self.stack.push(class);
            return Ok(());
        }
        let &[key, _, numel, ref view @ ..] = rest else {
            return damaged("a storage is not described by five items");
        };
        let number = match &self.objects[class] {
            &Object::Class(Class::Storage(number)) => number,
            Object::Stranger(name) => return self.push(Object::Stranger(name.clone())),
            _ => return damaged("a storage has no class"),
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
