//! The server under test: the real program on one folder through all its lives.

use std::path::Path;
use std::sync::Arc;

use grpcio::Channel;
use rustix::process::Signal;
use varve::log::{Logs, Offset, Options, OsDisk};
use varve::proto::admin_service_grpc::AdminClient;
use varve::proto::log_grpc::LogClient as FirstClient;
use varve::proto::log_service_grpc::LogClient;
use varve::proto::readers_service_grpc::ReadersClient;

use crate::cli::site::{Running, Site};
use crate::world::{connect, with_pem};

/// Segments hold a few batches, so that rolls are frequent.
const CONFIG: &str = "[log]\nsegment_bytes_max = \"16KiB\"\n[storage]\nmin_free_bytes = \"1MiB\"\n";

/// A folder with a server on it.
pub(super) struct Rig {
    site: Site,
    life: Option<(Running, Channel)>,
}

/// What opens a connection as `root`.
#[derive(Clone)]
pub(super) struct Keys {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Keys {
    pub(super) fn connect(&self, port: u16) -> Channel {
        let Self { authority, certificate, key } = self.clone();
        connect(port, with_pem(authority, certificate, key))
    }
}

impl Rig {
    /// With a running server.
    pub(super) fn new() -> Self {
        let site = Site::new();
        site.write("varve.toml", CONFIG);
        let mut rig = Self { site, life: None };
        rig.start();
        rig
    }

    pub(super) fn start(&mut self) {
        let mut command = self.site.server_flags(&["serve"]);
        command.args(["--config", &self.site.path("varve.toml")]);
        let server = Running::start(command);
        let channel = self.keys().connect(port(&server));
        self.life = Some((server, channel));
    }

    /// Ends the server with SIGKILL.
    pub(super) fn kill(&mut self) {
        // Its value ends it.
        self.life = None;
    }

    /// Ends the server with SIGTERM, which it must obey.
    pub(super) fn stop(&mut self) {
        let (server, _channel) = self.life.take().unwrap();
        server.signal(Signal::TERM);
        server.wait().0.done();
    }

    /// Trims a log before an offset while no server runs. Returns where it starts then.
    pub(super) fn trim(&self, log: &str, before: u64) -> u64 {
        assert!(self.life.is_none(), "the server has the data");
        let logs = open(&self.site.path("data"));
        let trimmed = logs.get(log).unwrap().trim(Offset::new(before)).unwrap();
        logs.close().unwrap();
        trimmed.start.get()
    }

    pub(super) fn keys(&self) -> Keys {
        let read = |name: &str| std::fs::read(self.site.path(name)).unwrap();
        Keys { authority: read("ca.pem"), certificate: read("root.pem"), key: read("root-key.pem") }
    }

    /// Where the server listens in this life.
    pub(super) fn port(&self) -> u16 {
        let (server, _) = self.life.as_ref().expect("a running server");
        port(server)
    }

    pub(super) fn batches(&self) -> LogClient {
        LogClient::new(self.channel())
    }

    pub(super) fn admin(&self) -> AdminClient {
        AdminClient::new(self.channel())
    }

    pub(super) fn first(&self) -> FirstClient {
        FirstClient::new(self.channel())
    }

    pub(super) fn readers(&self) -> ReadersClient {
        ReadersClient::new(self.channel())
    }

    fn channel(&self) -> Channel {
        self.life.as_ref().expect("a running server").1.clone()
    }
}

/// A test that fails shows what its server has logged last.
impl Drop for Rig {
    fn drop(&mut self) {
        if let Some((server, _)) = self.life.as_ref().filter(|_| std::thread::panicking()) {
            println!("the server's log:\n{}", server.log());
        }
    }
}

fn port(server: &Running) -> u16 {
    server.address.rsplit(':').next().unwrap().parse().unwrap()
}

fn open(data: &str) -> Arc<Logs> {
    let options = Options { min_free_bytes: 0, ..Options::default() };
    Logs::open(Path::new(data), Arc::new(OsDisk::new()), options).unwrap()
}
