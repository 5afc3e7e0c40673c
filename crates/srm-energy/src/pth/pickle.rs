//! Run the pickle program of a weights file: fixed opcodes, fixed classes, no code.
//!
//! A class or function that is not on the list is a [`Object::Stranger`]: so is what a call of it would give, and whatever
//! the program then puts into it is dropped. Objects lie in one list and name each other by index, so that neither a deep,
//! a cyclic nor a much-shared structure costs recursion or copies. Opcodes: CPython, Lib/pickletools.py.

mod build;
mod stack;

use super::{Read, damaged};
use crate::weights::Number;
use std::collections::HashMap;
use std::rc::Rc;

/// A bound on objects in one pickle; a state_dict of our largest net has under a thousand.
const MOST_OBJECTS: usize = 1_000_000;
/// A bound on the bytes of a name of a tensor, storage, class or dict.
const MOST_NAME: usize = 200;

/// Index of an object.
pub(super) type Id = usize;

/// The classes and functions whose calls are followed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Class {
    OrderedDict,
    DefaultDict,
    RebuildTensor,
    /// `(function, class, its arguments, state)`: a tensor of a subclass, or one with attributes.
    RebuildFromType,
    RebuildParameter,
    Size,
    Storage(Number),
}

/// A storage as the program names it; its bytes lie elsewhere in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage {
    pub(super) key: String,
    pub(super) number: Number,
    /// Elements in the whole storage.
    pub(super) numel: usize,
    /// Of the older format: this storage is (first element, elements) of it.
    pub(super) view: Option<(usize, usize)>,
}

/// A tensor: elements of a storage, `offset + Σ index·stride`.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) storage: Id,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// An object that the program made.
#[derive(Debug)]
pub(super) enum Object {
    None,
    Bool(bool),
    Int(i128),
    /// A number or byte string of no use here.
    Other,
    Text(String),
    /// A list or tuple.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Class(Class),
    Storage(Storage),
    Tensor(Record),
    /// A class or function that is not followed, by `module.name`, or a value made by one.
    Stranger(Rc<str>),
}

/// What a program left: all objects, and the one on top of the stack at STOP.
pub(super) struct Pickle {
    pub(super) objects: Vec<Object>,
    pub(super) top: Id,
    /// Bytes of the program.
    pub(super) length: usize,
}

impl Pickle {
    pub(super) fn object(&self) -> &Object {
        &self.objects[self.top]
    }

    /// The value of a text key, if the object is a dict that has it.
    pub(super) fn get(&self, dict: Id, key: &str) -> Option<Id> {
        let Object::Dict(pairs) = &self.objects[dict] else { return None };
        let found = pairs.iter().find(|(name, _)| matches!(&self.objects[*name], Object::Text(text) if text == key));
        found.map(|(_, value)| *value)
    }
}

/// A text that serves as a name.
pub(super) fn short(text: &str) -> Read<&str> {
    match text.len() {
        0..=MOST_NAME => Ok(text),
        length => damaged(format!("a name of {length} bytes")),
    }
}

/// Run the program at the start of `bytes` up to its STOP.
pub(super) fn run(bytes: &[u8]) -> Read<Pickle> {
    let mut machine = Machine {
        bytes,
        at: 0,
        objects: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copies: 16 * bytes.len(),
    };
    while machine.step()? {}
    let top = machine.pop()?;
    Ok(Pickle { objects: machine.objects, top, length: machine.at })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
    /// Bytes that calls may still copy: a few opcodes can name a large object again and again.
    copies: usize,
}

impl<'a> Machine<'a> {
    /// One opcode; false at STOP.
    fn step(&mut self) -> Read<bool> {
        let opcode = self.take(1)?[0];
        match opcode {
            b'.' => return Ok(false),
            0x80 => drop(self.take(1)?),                                    // PROTO
            0x95 => drop(self.take(8)?),                                    // FRAME
            b'(' => self.marks.push(self.stack.len()),                      // MARK
            b'0' => drop(self.pop()?),                                      // POP
            b'1' => drop(self.pop_to_mark()?),                              // POP_MARK
            b'2' => self.stack.push(self.peek()?),                          // DUP
            b'N' => self.push(Object::None)?,                               // NONE
            0x88 => self.push(Object::Bool(true))?,                         // NEWTRUE
            0x89 => self.push(Object::Bool(false))?,                        // NEWFALSE
            b'J' => self.push_int(4, true)?,                                // BININT
            b'K' => self.push_int(1, false)?,                               // BININT1
            b'M' => self.push_int(2, false)?,                               // BININT2
            0x8a => self.push_long(1)?,                                     // LONG1
            0x8b => self.push_long(4)?,                                     // LONG4
            b'G' => self.push_skipped(8)?,                                  // BINFLOAT
            b'C' => self.push_counted(1, false)?,                           // SHORT_BINBYTES
            b'B' => self.push_counted(4, false)?,                           // BINBYTES
            0x8e | 0x96 => self.push_counted(8, false)?,                    // BINBYTES8, BYTEARRAY8
            b'U' | 0x8c => self.push_counted(1, true)?,                     // SHORT_BINSTRING, SHORT_BINUNICODE
            b'T' | b'X' => self.push_counted(4, true)?,                     // BINSTRING, BINUNICODE
            0x8d => self.push_counted(8, true)?,                            // BINUNICODE8
            b'q' => self.put(1)?,                                           // BINPUT
            b'r' => self.put(4)?,                                           // LONG_BINPUT
            0x94 => drop(self.memo.insert(self.memo.len(), self.peek()?)),  // MEMOIZE
            b'h' => self.fetch(1)?,                                         // BINGET
            b'j' => self.fetch(4)?,                                         // LONG_BINGET
            b'}' => self.push(Object::Dict(Vec::new()))?,                   // EMPTY_DICT
            b']' | b')' | 0x8f => self.push(Object::Sequence(Vec::new()))?, // EMPTY_LIST, EMPTY_TUPLE, EMPTY_SET
            b't' | b'l' | 0x91 => {
                let items = self.pop_to_mark()?; // TUPLE, LIST, FROZENSET
                self.push(Object::Sequence(items))?;
            }
            b'd' => {
                let items = self.pop_to_mark()?; // DICT
                self.push(Object::Dict(Vec::new()))?;
                self.set(items)?;
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84); // TUPLE1, TUPLE2, TUPLE3
                let Some(start) = self.stack.len().checked_sub(count) else { return self.stack_empty() };
                let items = self.stack.split_off(start);
                self.push(Object::Sequence(items))?;
            }
            b'a' => {
                let item = self.pop()?; // APPEND
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?; // APPENDS, ADDITEMS
                self.append(items)?;
            }
            b's' => {
                let value = self.pop()?; // SETITEM
                let key = self.pop()?;
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?; // SETITEMS
                self.set(items)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?); // GLOBAL
                self.push_global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?); // STACK_GLOBAL
                self.push_global(&module, &name)?;
            }
            b'R' | 0x81 => self.reduce()?, // REDUCE, NEWOBJ
            0x92 => {
                self.pop()?; // NEWOBJ_EX: arguments by keyword, which no class on the list has
                self.reduce()?;
            }
            b'Q' => self.persistent()?, // BINPERSID
            b'b' => drop(self.pop()?),  // BUILD: attributes such as _metadata, of no use here
            _ => {
                let at = self.at - 1;
                return damaged(format!("pickle opcode 0x{opcode:02x} at byte {at} is none that torch.save writes"));
            }
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else { return damaged("the pickle is cut off") };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn line(&mut self) -> Read<String> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.iter().take(MOST_NAME).position(|&byte| byte == b'\n') else {
            return damaged("a global's name does not end");
        };
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    /// A little-endian number of at most 16 bytes.
    fn number(&mut self, width: usize, signed: bool) -> Read<i128> {
        let raw = self.take(width)?;
        let fill = if signed && raw.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut bytes = [fill; 16];
        bytes[..width].copy_from_slice(raw);
        Ok(i128::from_le_bytes(bytes))
    }

    fn count(&mut self, width: usize) -> Read<usize> {
        let number = self.number(width, false)?;
        usize::try_from(number).or_else(|_| damaged("a length is out of range"))
    }

    fn push(&mut self, object: Object) -> Read<()> {
        if self.objects.len() >= MOST_OBJECTS {
            return damaged(format!("the pickle makes more than {MOST_OBJECTS} objects, far more than a state_dict"));
        }
        self.stack.push(self.objects.len());
        self.objects.push(object);
        Ok(())
    }

    fn push_int(&mut self, width: usize, signed: bool) -> Read<()> {
        let number = self.number(width, signed)?;
        self.push(Object::Int(number))
    }

    fn push_long(&mut self, width: usize) -> Read<()> {
        match self.count(width)? {
            width @ 0..=16 => self.push_int(width, true),
            width => self.push_skipped(width),
        }
    }

    fn push_skipped(&mut self, width: usize) -> Read<()> {
        self.take(width)?;
        self.push(Object::Other)
    }

    fn push_counted(&mut self, width: usize, text: bool) -> Read<()> {
        let length = self.count(width)?;
        let bytes = self.take(length)?;
        match std::str::from_utf8(bytes) {
            Ok(content) if text => self.push(Object::Text(content.to_owned())),
            _ => self.push(Object::Other),
        }
    }
}
