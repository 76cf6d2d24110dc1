//! Webhooks: what endpoints cost those that write, and how many events a second are delivered.
//!
//! `cargo bench --bench webhooks` prints the figures. Nothing is asserted about time.

#[allow(dead_code, reason = "shared with the other benches")]
mod load;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use load::{Database, Failure, user};

const WRITING: usize = 8;
const SECONDS: f64 = 4.0;
const ROUNDS: usize = 3;
const ENDPOINTS: usize = 3;

fn main() -> Result<(), Failure> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("webhooks");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let database = Database::new(&folder)?;
    let server = database.serve(false)?;
    let address = server.target.address.clone();
    let next = AtomicUsize::new(0);
    let taken = Arc::new(AtomicUsize::new(0));
    let url = receiver(Arc::clone(&taken))?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        without.push(changes(&address, &database.token, &next)?);
        let ids = (0..ENDPOINTS).map(|_| -> Result<String, Failure> {
            let made = database.plumm(&["--json", "webhook", "add", "acme", &url])?;
            let made: serde_json::Value = serde_json::from_slice(&made.stdout)?;
            Ok(made["id"].as_str().ok_or("no id")?.to_owned())
        });
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        thread::sleep(Duration::from_millis(1500));
        let before = taken.load(Ordering::SeqCst);
        let began = Instant::now();
        let rate = changes(&address, &database.token, &next)?;
        let during = taken.load(Ordering::SeqCst) - before;
        let events = (rate * SECONDS) as usize * ENDPOINTS;
        while taken.load(Ordering::SeqCst) - before < events
            && began.elapsed() < Duration::from_secs(90)
        {
            thread::sleep(Duration::from_millis(5));
        }
        println!(
            "round {round}: {rate:.0} changes/s with {ENDPOINTS} endpoints, {:.0} without; {during} \
             of {events} events were delivered meanwhile, all after {:.1} s",
            without[round],
            began.elapsed().as_secs_f64(),
        );
        with.push(rate);
        for id in ids {
            database.plumm(&["webhook", "remove", &id])?;
        }
        thread::sleep(Duration::from_millis(1500));
    }
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    println!(
        "with {ENDPOINTS} endpoints: {:.2} of the changes a second without",
        mean(&with) / mean(&without)
    );
    drop(server);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Creates users for some seconds; returns how many a second.
fn changes(address: &str, token: &str, next: &AtomicUsize) -> Result<f64, Failure> {
    let began = Instant::now();
    let write = || -> Result<usize, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let mut count = 0;
        while began.elapsed().as_secs_f64() < SECONDS {
            let body = user(next.fetch_add(1, Ordering::Relaxed), "Engineer");
            let length = body.len();
            let request = format!(
                "POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/scim+json\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            stream.get_mut().write_all(request.as_bytes())?;
            let head = read_message(&mut stream)?;
            if !head.starts_with("HTTP/1.1 201") {
                return Err(head.into());
            }
            count += 1;
        }
        Ok(count)
    };
    let mut count = 0;
    thread::scope(|scope| -> Result<(), Failure> {
        let writers: Vec<_> = (0..WRITING).map(|_| scope.spawn(write)).collect();
        for it in writers {
            count += it.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })?;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// A receiver that takes everything and counts it; returns its URL.
fn receiver(taken: Arc<AtomicUsize>) -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let taken = Arc::clone(&taken);
            thread::spawn(move || -> Result<(), Failure> {
                stream.set_nodelay(true)?;
                let mut stream = BufReader::new(stream);
                loop {
                    read_message(&mut stream)?;
                    taken.fetch_add(1, Ordering::SeqCst);
                    stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
                }
            });
        }
    });
    Ok(url)
}

/// Reads head and body of a message; returns the head.
fn read_message(stream: &mut BufReader<TcpStream>) -> Result<String, Failure> {
    let (mut head, mut length, mut line) = (String::new(), 0, String::new());
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err("the connection has ended".into());
        }
        head += &line;
        if let Some((name, it)) = line.trim_end().split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = it.parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(head)
}
