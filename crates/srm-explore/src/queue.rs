//! Let jobs wait for whoever has the nets.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use crate::Job;

/// Jobs that wait; more are refused.
const WAITING: usize = 32;

/// Jobs in the order in which they came.
#[derive(Default)]
pub struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    came: Condvar,
}

impl Queue {
    /// Take a job in, unless too many wait. A drag leaves a trail of questions: those that nobody waits for any more are no load.
    pub fn take(&self, job: Job) -> bool {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|job| !job.reply.is_over());
        if jobs.len() == WAITING {
            return false;
        }
        jobs.push_back(job);
        self.came.notify_one();
        true
    }

    /// The next job that somebody still waits for, if one comes in time.
    pub fn next(&self, patience: Duration) -> Option<Job> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.came.wait_timeout_while(jobs, patience, |jobs| {
            jobs.retain(|job| !job.reply.is_over());
            jobs.is_empty()
        });
        waited.unwrap_or_else(PoisonError::into_inner).0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ask, Neighbours, Reply};

    fn job() -> (Job, impl Sized) {
        let (reply, reader) = Reply::new();
        let asked = r#"{"source":0,"update":null,"code":{"seed":1,"image":0},"count":1}"#;
        let asked: Neighbours = serde_json::from_str(asked).unwrap();
        (Job { ask: Ask::Neighbours(asked), reply }, reader)
    }

    #[test]
    fn what_nobody_waits_for_neither_fills_the_queue_nor_is_done() {
        let queue = Queue::default();
        for _ in 0..3 * WAITING {
            assert!(queue.take(job().0), "its reader is gone");
        }
        assert!(queue.next(Duration::ZERO).is_none());
        let readers: Vec<_> = (0..WAITING).map(|_| job()).map(|(job, reader)| (queue.take(job), reader)).collect();
        assert!(readers.iter().all(|(taken, _)| *taken));
        let (one_more, _reader) = job();
        assert!(!queue.take(one_more));
        assert!(queue.next(Duration::ZERO).is_some());
    }
}
