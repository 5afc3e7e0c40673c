//! Hand in what other ranks send: one of two, of which the other one sends the input.

use super::{Door, no_mending, run_folder};
use crate::formats::{change_parts, change_safetensors, join_parts, split_parts};
use crate::{Dice, mutate::change_bytes, tree::change_json};
use srm_energy::{ConvNet, Ladder, Trainable};
use srm_ranks::{Ranks, RanksError, Reason, Result};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use tch::{Device, Kind, Tensor};

/// What an input's first part says: which exchange its messages belong to.
const JOIN: u8 = 0;
const UPDATE: u8 = 1;
const GATHER: u8 = 2;

pub(super) const MESSAGES: Door = Door {
    name: "messages",
    what: "messages of another rank: state and tensors at the start, an update's numbers and gradient, gathered rows",
    sources: &[
        "crates/srm-ranks/src/exchange.rs",
        "crates/srm-ranks/src/ranks.rs",
        "crates/srm-ranks/src/tree.rs",
        "crates/srm-train/src/measured.rs",
        "crates/srm-train/src/ranks.rs",
    ],
    longest: 1 << 15,
    seeds,
    header: |bytes| split_parts(bytes).first().is_some_and(|(exchange, _)| *exchange <= GATHER),
    change: |bytes, dice| change_parts(bytes, dice, change),
    mend: no_mending,
    enter,
};

/// One of two ranks; the other is made of messages.
struct Half {
    rank: usize,
    /// What the other one sends, in its order.
    from: RefCell<VecDeque<Vec<u8>>>,
    /// What this one sends.
    sent: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Half {
    fn new(rank: usize, messages: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { rank, from: RefCell::new(messages.into_iter().collect()), sent: Rc::default() }
    }

    fn next(&self) -> Result<Vec<u8>> {
        let gone = || RanksError::Talk { rank: self.rank, reason: Reason::Gone { other: 1 - self.rank } };
        self.from.borrow_mut().pop_front().ok_or_else(gone)
    }
}

impl Ranks for Half {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        2
    }

    fn send(&self, _to: usize, bytes: &[u8]) -> Result<()> {
        self.sent.borrow_mut().push(bytes.to_vec());
        Ok(())
    }

    fn receive(&self, _from: usize) -> Result<Vec<u8>> {
        self.next()
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        self.sent.borrow_mut().push(bytes.clone());
        if self.rank == 0 { Ok(bytes) } else { self.next() }
    }

    fn all_gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        self.sent.borrow_mut().push(bytes.clone());
        let other = self.next()?;
        Ok(if self.rank == 0 { vec![bytes, other] } else { vec![other, bytes] })
    }
}

/// What a rank really sends: rank 0 at the start, rank 1 in an update.
fn seeds() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    let first = Half::new(0, []);
    let sent = Rc::clone(&first.sent);
    trainer(folder.path()).set_ranks(Box::new(first)).expect("rank 0 tells its state");
    let state = sent.take();
    let second = Half::new(1, state.iter().cloned());
    let sent = Rc::clone(&second.sent);
    let mut trainer = trainer(folder.path());
    trainer.set_ranks(Box::new(second)).expect("rank 1 takes what rank 0 sends");
    sent.take();
    let _ = trainer.update(); // ends where it waits for rank 0's numbers, after it has sent its own
    let mut numbers = sent.take();
    let gradient = gradient(&trainer);
    numbers.push(gradient);
    let numbered = |exchange, messages: Vec<Vec<u8>>| {
        join_parts(&messages.into_iter().map(|message| (exchange, message)).collect::<Vec<_>>())
    };
    let rows = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    vec![numbered(JOIN, state), numbered(UPDATE, numbers), numbered(GATHER, vec![rows])]
}

/// A message of a gradient: one node of the tree, block 1 at level 0, with as many numbers as the net has weights.
fn gradient(trainer: &srm_train::Trainer<Ladder<ConvNet>>) -> Vec<u8> {
    let weights: usize = trainer.net().named_parameters().iter().map(|(_, tensor)| tensor.numel()).sum();
    let mut message = 1u32.to_le_bytes().to_vec();
    message.extend(1u64.to_le_bytes());
    message.extend(0u32.to_le_bytes());
    message.extend(std::iter::repeat_n(0.5f32.to_le_bytes(), weights).flatten());
    message
}

/// A trainer of two chains, one for each rank.
fn trainer(folder: &Path) -> srm_train::Trainer<Ladder<ConvNet>> {
    let mut config = run_folder::config();
    config.train.batch = 2;
    config.langevin.init = srm_config::Init::Uniform;
    run_folder::trainer(&config, folder)
}

fn change(_exchange: u8, message: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut changed = message.to_vec();
    match message.first() {
        Some(b'{') => changed = change_json(message, dice),
        _ if dice.one_in(2) => change_safetensors(&mut changed, dice),
        // places, counts and lengths are at the beginning
        _ => {
            let mut numbers = changed.split_off(changed.len().min(20));
            change_bytes(&mut changed, dice);
            if dice.one_in(2) {
                change_bytes(&mut numbers, dice);
            }
            changed.append(&mut numbers);
        }
    }
    changed
}

fn enter(bytes: &[u8], folder: &Path) {
    let parts = split_parts(bytes);
    let exchange = parts.first().map_or(GATHER, |(exchange, _)| *exchange);
    let messages = || parts.iter().map(|(_, message)| message.to_vec());
    match exchange {
        JOIN => {
            let mut trainer = trainer(folder);
            if trainer.set_ranks(Box::new(Half::new(1, messages()))).is_ok() {
                let _ = trainer.update();
            }
        }
        UPDATE => {
            let mut trainer = trainer(folder);
            if trainer.set_ranks(Box::new(Half::new(0, messages()))).is_ok() {
                let _ = trainer.update();
            }
        }
        _ => {
            let images = ndarray::Array4::zeros((1, 2, 2, 1));
            let rows = Tensor::zeros([1, 2], (Kind::Float, Device::Cpu));
            let first = || Box::new(Half::new(0, messages())) as Box<dyn Ranks>;
            let _ = first().gather_images(images);
            let _ = first().gather_numbers(&[1.0]);
            let _ = first().gather_rows(&rows);
            let _ = first().receive_tensor(1);
        }
    }
}
