//! A hyper server that answers every request with the bytes of one file, from memory: no
//! authentication, no routing, no database. `benches/lifecycle.rs` starts it on loopback, reads the
//! port it prints, and kills it.

use std::convert::Infallible;
use std::{env, fs};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let file = env::args().nth(1).ok_or("usage: plumm-baseline FILE")?;
    let body = Bytes::from(fs::read(file)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build()?;
    runtime.block_on(serve(body))
}

async fn serve(body: Bytes) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |_| {
                let response = Response::builder()
                    .header("Content-Type", "application/scim+json")
                    .header("Content-Length", body.len())
                    .body(Full::new(body.clone()));
                async move { Ok::<_, Infallible>(response.unwrap_or_default()) }
            });
            // The client has gone; the next one is served all the same.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}
