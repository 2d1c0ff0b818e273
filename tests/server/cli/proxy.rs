//! A stretch of network between a client and its server that can lose what comes back.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes on the bytes of every connection, in both directions.
pub(crate) struct Proxy {
    pub(crate) address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// What the server says is lost.
    is_mute: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (state, server) = (Arc::<State>::default(), server.to_owned());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let ends = [client, server];
                shared.open.lock().unwrap().extend(ends.each_ref().map(copy_of));
                let [client, server] = ends;
                pass(copy_of(&client), copy_of(&server), None);
                pass(server, client, Some(Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    /// From now on nothing that the server says arrives.
    pub(crate) fn mute(&self) {
        self.state.is_mute.store(true, Ordering::SeqCst);
    }

    /// Cuts every connection; new ones work.
    pub(crate) fn cut(&self) {
        let open = std::mem::take(&mut *self.state.open.lock().unwrap());
        for stream in open {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.state.is_mute.store(false, Ordering::SeqCst);
    }
}

fn copy_of(stream: &TcpStream) -> TcpStream {
    stream.try_clone().unwrap()
}

/// Passes bytes on, unless `muted` says that they are to be lost.
fn pass(mut from: TcpStream, mut to: TcpStream, muted: Option<Arc<State>>) {
    thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            let is_mute = muted.as_ref().is_some_and(|state| state.is_mute.load(Ordering::SeqCst));
            if !is_mute && to.write_all(&bytes[..length]).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
