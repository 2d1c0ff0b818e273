//! The listener of metrics, health and the status page: HTTP/1.1 without TLS, to be read only.
//!
//! Four threads of its own take one connection after the other, and of each connection one request:
//! so nothing grows with the number of those who connect. A head has 8 KiB and 2 s to arrive, an
//! answer 5 s to leave. Whoever is slow holds one of these threads for so long, and none of the
//! server's.
//!
//! Files, lowest first: `patience` (waiting for a socket, a time or the stop), `host` (against DNS
//! rebinding), `request`, `answer`.

mod answer;
mod host;
mod patience;
mod request;

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use self::answer::Answer;
use self::host::Hosts;
use self::patience::{Patience, Stop, Stopper};
use super::Ops;

const THREADS: usize = 4;
/// A stack for small buffers; answers are built on the heap.
const STACK_BYTES: usize = 256 * 1024;
/// How long a request's head may take to arrive, and its answer to leave.
const READING: Duration = Duration::from_secs(2);
const WRITING: Duration = Duration::from_secs(5);
/// How long what a client still sends is taken after its answer, and how much of it: to close a
/// connection with bytes unread would take the answer back.
const LEAVING: Duration = Duration::from_millis(200);
const LEFT_BYTES_MAX: usize = 64 * 1024;
/// How long is waited when the system has no descriptor for a connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long a stop waits for a thread that looks at logs.
const STOPPING: Duration = Duration::from_secs(1);

/// The listener with its threads, which end with it.
#[derive(Debug)]
pub struct HttpListener {
    address: SocketAddr,
    stopper: Option<Stopper>,
    /// Disconnected once all threads have ended.
    ended: Receiver<()>,
}

impl HttpListener {
    /// Answers on `listener`, which is bound, for `ops`.
    ///
    /// # Errors
    ///
    /// The system has no threads or descriptors for it. Nothing of it is left then.
    pub fn start(listener: TcpListener, ops: &Arc<Ops>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stopper, stop) = patience::pair()?;
        let (running, ended) = bounded(0);
        let shared =
            Arc::new(Serving { listener, hosts: Hosts::of(address), ops: Arc::clone(ops), stop });
        let started = Self { address, stopper: Some(stopper), ended };
        for number in 0..THREADS {
            let (own, running) = (Arc::clone(&shared), running.clone());
            thread::Builder::new()
                .name(format!("http-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || own.serve_all(&running))?;
        }
        Ok(started)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpListener {
    fn drop(&mut self) {
        drop(self.stopper.take());
        // A thread that waits for a disk which does not answer holds nothing up: it ends with the
        // process.
        let _ended = self.ended.recv_timeout(STOPPING);
    }
}

/// What the threads share.
#[derive(Debug)]
struct Serving {
    listener: TcpListener,
    hosts: Hosts,
    ops: Arc<Ops>,
    stop: Stop,
}

impl Serving {
    /// Serves until the stop. `_running` tells of the end by its own.
    fn serve_all(&self, _running: &Sender<()>) {
        while self.stop.until_readable(&self.listener, None).is_ok() {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    // Whatever a client does ends its own connection alone.
                    let _served = self.serve(&stream);
                }
                // Another thread was faster, or the client has left.
                Err(e) if is_passing(e.kind()) => {}
                Err(_) => {
                    if self.stop.wait(ACCEPT_AGAIN).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let deadline = |patience| Some(Instant::now() + patience);
        let reading = Patience { stream, stop: &self.stop, deadline: deadline(READING) };
        let answer = match request::read(&reading)? {
            Ok(request) => answer::to(&request, &self.hosts, &self.ops),
            Err(fault) => Answer::refusal(fault),
        };
        Patience { deadline: deadline(WRITING), ..reading }.write_all(&answer.bytes())?;
        stream.shutdown(Shutdown::Write)?;
        Patience { deadline: deadline(LEAVING), ..reading }.drain(LEFT_BYTES_MAX)
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}
