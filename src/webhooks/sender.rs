//! The threads that send. They know neither the file nor who else waits, and say what became of
//! each request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::events::webhook::{Key, signatures};
use crate::memory::Taken;
use crate::scim::datetime::Timestamp;
use crate::store::commits::Waker;
use crate::store::tables::webhook::Position;
use crate::webhooks::batch::Item;
use crate::webhooks::client::{Client, Message, Outcome};
use crate::webhooks::queue::{OVERDUE_MAX, PLACES};

/// How many threads there are at most.
const THREADS_MAX: usize = PLACES + OVERDUE_MAX;
/// How long events are sent to one endpoint until others have their turn.
const TURN: Duration = Duration::from_secs(1);

/// Events for one endpoint.
#[derive(Debug)]
pub struct Job {
    /// The endpoint, by its id
    pub webhook: Arc<str>,
    /// and revision.
    pub revision: i64,
    /// Where they go,
    pub url: String,
    /// by whom,
    pub client: Arc<Client>,
    /// and signed with which keys.
    pub keys: Arc<Vec<Key>>,
    /// The events, in order.
    pub items: Vec<Item>,
    /// How far the endpoint has been told once they are delivered.
    pub end: Position,
    /// The memory that they take.
    pub memory: Arc<Vec<Taken>>,
}

/// What became of one request, or of a job.
#[derive(Debug)]
pub enum Report {
    /// A request has ended.
    Sent {
        /// The endpoint, by its id
        webhook: Arc<str>,
        /// and revision.
        revision: i64,
        /// The event.
        item: Item,
        /// When the request began.
        time: Timestamp,
        /// When it ended,
        ended: Instant,
        /// and how.
        outcome: Outcome,
    },
    /// A job has ended: nothing is under way any more.
    Ended {
        /// The endpoint.
        webhook: Arc<str>,
        /// The endpoint's revision.
        revision: i64,
        /// How far the endpoint has been told, when every event of the job was delivered.
        end: Option<Position>,
    },
}

/// What dispatcher and senders share.
pub struct Shared {
    jobs: Mutex<Jobs>,
    /// Notified when there is a job, and at the end.
    changed: Condvar,
    reports: Mutex<Vec<Report>>,
    stopped: AtomicBool,
    waker: Waker,
    clock: Clock,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Shared {
    /// Nothing to do yet.
    pub fn new(waker: Waker, clock: Clock) -> Shared {
        Shared {
            jobs: Mutex::default(),
            changed: Condvar::new(),
            reports: Mutex::default(),
            stopped: AtomicBool::new(false),
            waker,
            clock,
        }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Has a job done, by a thread that is free or a further one.
    pub fn send(self: &Arc<Shared>, job: Job) {
        let mut jobs = lock(&self.jobs);
        jobs.waiting.push_back(job);
        let needs_thread = jobs.waiting.len() > jobs.idle && jobs.threads < THREADS_MAX;
        jobs.threads += usize::from(needs_thread);
        drop(jobs);
        self.changed.notify_one();
        if needs_thread {
            let shared = Arc::clone(self);
            let thread = thread::Builder::new().name("webhook sender".to_owned());
            if let Err(error) = thread.spawn(move || shared.work()) {
                log::warn!("no thread is left for webhooks: {error}");
                lock(&self.jobs).threads -= 1;
            }
        }
    }

    /// What has been done since the last time.
    pub fn take_reports(&self) -> Vec<Report> {
        std::mem::take(&mut lock(&self.reports))
    }

    /// Sends nothing more; requests under way go on.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Between the look of a sender at the flag and its sleep nobody may be woken.
        drop(lock(&self.jobs));
        self.changed.notify_all();
    }

    /// Whether nothing more is sent.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Waits until the end, but no longer than this.
    pub fn wait_for_stop(&self, time: Duration) {
        let jobs = lock(&self.jobs);
        drop(self.changed.wait_timeout_while(jobs, time, |_| !self.is_stopped()));
    }

    /// Sends until the end.
    fn work(&self) {
        loop {
            let mut jobs = lock(&self.jobs);
            // Threads for receivers that were slow for once are not kept.
            if jobs.idle >= PLACES && jobs.waiting.is_empty() {
                jobs.threads -= 1;
                return;
            }
            jobs.idle += 1;
            let none = |jobs: &mut Jobs| jobs.waiting.is_empty() && !self.is_stopped();
            let mut jobs =
                self.changed.wait_while(jobs, none).unwrap_or_else(PoisonError::into_inner);
            jobs.idle -= 1;
            let Some(job) = jobs.waiting.pop_front() else { return };
            drop(jobs);
            let (webhook, revision) = (Arc::clone(&job.webhook), job.revision);
            let end = Some(job.end).filter(|_| self.do_job(job));
            self.report(Report::Ended { webhook, revision, end });
            self.waker.wake();
        }
    }

    /// Sends the events of a job until one fails or others have their turn; returns whether all
    /// were delivered.
    fn do_job(&self, job: Job) -> bool {
        let began = Instant::now();
        for mut item in job.items {
            if self.is_stopped() || began.elapsed() > TURN {
                return false;
            }
            let time = self.now();
            let seconds = time.nanoseconds().div_euclid(1_000_000_000);
            let signatures = signatures(job.keys.iter(), &item.event, seconds, &item.body);
            let message = Message {
                url: &job.url,
                id: &item.event,
                seconds,
                signatures: &signatures,
                body: &item.body,
            };
            let outcome = job.client.send(&message, time);
            let failed = outcome.error.is_some();
            let (webhook, revision) = (Arc::clone(&job.webhook), job.revision);
            let ended = Instant::now();
            // The report is kept longer than the memory is taken.
            item.body = Arc::default();
            self.report(Report::Sent { webhook, revision, item, time, ended, outcome });
            if failed {
                return false;
            }
        }
        drop(job.memory);
        true
    }

    fn report(&self, report: Report) {
        lock(&self.reports).push(report);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
