//! Move objects between the stack, the marks, the memo and the lists that a program fills.

use super::{Id, Machine, Object, short};
use crate::pth::{Read, damaged};

impl Machine<'_> {
    pub(super) fn stack_empty<T>(&self) -> Read<T> {
        damaged(format!("the pickle takes more than it has at byte {}", self.at))
    }

    pub(super) fn pop(&mut self) -> Read<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => Ok(self.stack.pop().unwrap_or_default()),
            false => self.stack_empty(),
        }
    }

    pub(super) fn pop_text(&mut self) -> Read<String> {
        let id = self.pop()?;
        match &self.objects[id] {
            Object::Text(text) => Ok(short(text)?.to_owned()),
            _ => damaged("a global's name is no text"),
        }
    }

    pub(super) fn peek(&self) -> Read<Id> {
        self.stack.last().copied().map_or_else(|| self.stack_empty(), Ok)
    }

    pub(super) fn pop_to_mark(&mut self) -> Read<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => self.stack_empty(),
        }
    }

    pub(super) fn put(&mut self, width: usize) -> Read<()> {
        let slot = self.count(width)?;
        self.memo.insert(slot, self.peek()?);
        Ok(())
    }

    pub(super) fn fetch(&mut self, width: usize) -> Read<()> {
        let slot = self.count(width)?;
        let Some(&id) = self.memo.get(&slot) else {
            return damaged(format!("the pickle recalls slot {slot}, never set"));
        };
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn append(&mut self, items: Vec<Id>) -> Read<()> {
        let list = self.peek()?;
        match &mut self.objects[list] {
            Object::Sequence(members) => members.extend(items),
            Object::Stranger(_) => {}
            _ => return damaged("the pickle appends to no list"),
        }
        Ok(())
    }

    pub(super) fn set(&mut self, items: Vec<Id>) -> Read<()> {
        let dict = self.peek()?;
        if !items.len().is_multiple_of(2) {
            return damaged("a dict has a key without value");
        }
        match &mut self.objects[dict] {
            Object::Dict(pairs) => pairs.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            Object::Stranger(_) => {}
            _ => return damaged("the pickle sets items of no dict"),
        }
        Ok(())
    }
}
