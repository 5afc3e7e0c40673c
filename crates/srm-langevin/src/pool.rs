//! Keep worker threads alive, each with its own replica of the energy and one libtorch thread.
//!
//! What tch 0.24 asks for: a `Tensor` may move to another thread but not be shared, `no_grad` is per
//! thread, and `set_num_threads` does not reach a thread that has already used libtorch. So a worker first sets both,
//! then lives as long as the pool.

use crate::{LangevinError, Result, Stop};
use srm_energy::{Replicate, libtorch::caught};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

type Job<E> = Box<dyn FnOnce(&E) + Send>;

/// Threads that each own a replica of one energy.
pub struct Pool<E> {
    jobs: Option<mpsc::Sender<Job<E>>>,
    workers: Vec<JoinHandle<()>>,
    stop: Stop,
}

impl<E: Replicate> Pool<E> {
    /// Start `threads` workers (at least one) with a replica of `energy` each.
    pub fn new(energy: &E, threads: usize) -> Self {
        let (jobs, queue) = mpsc::channel::<Job<E>>();
        let queue = Arc::new(Mutex::new(queue));
        let workers = (0..threads.max(1)).map(|_| {
            let (replica, queue) = (energy.replica(), Arc::clone(&queue));
            std::thread::spawn(move || work(&replica, &queue))
        });
        Self { jobs: Some(jobs), workers: workers.collect(), stop: Stop::default() }
    }

    /// Give up work in hand when `stop` is asked for.
    ///
    /// The workers then come to the end of what they compute by themselves, and nobody waits for it: neither [`Pool::map`] nor the
    /// pool's end. A program that exits meanwhile must do so without libtorch's destructors.
    pub fn stop_when(&mut self, stop: Stop) {
        self.stop = stop;
    }

    /// Number of workers.
    pub fn threads(&self) -> usize {
        self.workers.len()
    }

    /// Run `task` on every item, on whichever worker is free; the results come in the items' order.
    ///
    /// # Errors
    /// The first item's error; [`LangevinError::Stopped`]; [`LangevinError::WorkerStopped`] where a task panicked.
    pub fn map<T, R>(&self, items: Vec<T>, task: impl Fn(&E, T) -> Result<R> + Send + Sync + 'static) -> Result<Vec<R>>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        let task = Arc::new(task);
        let count = items.len();
        let (done, results) = mpsc::channel();
        for (i, item) in items.into_iter().enumerate() {
            let (task, done, stop) = (Arc::clone(&task), done.clone(), self.stop.clone());
            let job: Job<E> = Box::new(move |energy| {
                let result = if stop.asked() { Err(LangevinError::Stopped) } else { outcome(|| task(energy, item)) };
                // A closed channel means that the caller has already returned with another item's error.
                let _ = done.send((i, result));
            });
            let jobs = self.jobs.as_ref().expect("the queue is open until the pool is dropped");
            jobs.send(job).map_err(|_| stopped())?;
        }
        drop(done);
        let mut ordered: Vec<Option<R>> = (0..count).map(|_| None).collect();
        loop {
            match results.recv_timeout(Stop::PATIENCE) {
                Ok((i, result)) => ordered[i] = Some(result?),
                Err(mpsc::RecvTimeoutError::Timeout) if self.stop.asked() => return Err(LangevinError::Stopped),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        ordered.into_iter().map(|result| result.ok_or_else(stopped)).collect()
    }
}

impl<E> Drop for Pool<E> {
    fn drop(&mut self) {
        self.jobs = None; // closes the queue, so that every worker's wait ends
        // what a worker still computes after a stop is nobody's any more
        for worker in self.workers.drain(..).filter(|_| !self.stop.asked()) {
            let _ = worker.join();
        }
    }
}

fn work<E>(energy: &E, queue: &Mutex<mpsc::Receiver<Job<E>>>) {
    tch::set_num_threads(1);
    let _guard = tch::no_grad_guard();
    loop {
        let Ok(Ok(job)) = queue.lock().map(|queue| queue.recv()) else { return };
        // A panic ends this job, not the worker: its result is then missing, which `map` reports.
        let _ = catch_unwind(AssertUnwindSafe(|| job(energy)));
    }
}

/// What the task gives, an error of libtorch's that tch panics with among it.
fn outcome<R>(task: impl FnOnce() -> Result<R>) -> Result<R> {
    caught(task).unwrap_or_else(|said| Err(tch::TchError::Torch(said).into()))
}

fn stopped() -> LangevinError {
    LangevinError::WorkerStopped { reason: "a task ended without a result; its panic message stands above".into() }
}
