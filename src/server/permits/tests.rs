//! How many threads hold a permit at once, and in which order they get one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{panic, thread};

use super::*;

#[test]
fn no_more_threads_than_permits_work_at_once() {
    let permits = Permits::new(3);
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let _permit = permits.acquire();
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(5));
                now.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(most.into_inner(), 3);
    assert_eq!(permits.counts().free, 3);
}

#[test]
fn a_waiting_thread_comes_before_one_that_has_just_asked() {
    let permits = Permits::new(1);
    let order = Mutex::new(Vec::new());
    let first = permits.acquire();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _permit = permits.acquire();
            order.lock().unwrap().push("waited");
        });
        while permits.counts().waiting == 0 {
            thread::yield_now();
        }
        drop(first);
        let _permit = permits.acquire();
        order.lock().unwrap().push("asked");
    });
    assert_eq!(order.into_inner().unwrap(), ["waited", "asked"]);
}

#[test]
fn a_panic_gives_the_permit_back() {
    let permits = Permits::new(1);
    let panicked = panic::catch_unwind(|| {
        let _permit = permits.acquire();
        panic::resume_unwind(Box::new("no message on stderr"));
    });
    assert!(panicked.is_err());
    drop(permits.acquire());
}
