//! What the benches of the service share: certificates, a server, clients for it, and figures.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grpcio::{Channel, ChannelBuilder, ChannelCredentialsBuilder, EnvBuilder, Environment};
use tempfile::TempDir;
use varve::acl::Policy;
use varve::certs::{self, CaOrder, LeafOrder};
use varve::log::Logs;
use varve::server::{Server, ServerOptions, Transport};
use varve::service::Rules;
use varve::tls::Credentials;

/// A folder that vanishes with its value, below the one that the command line names, and
/// certificates in it.
#[allow(dead_code)] // Not every bench names it so.
pub fn scratch() -> (TempDir, Certificates) {
    let directory = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    scratch_in(&directory.map_or_else(std::env::temp_dir, PathBuf::from))
}

/// The same, below `root`.
pub fn scratch_in(root: &Path) -> (TempDir, Certificates) {
    let scratch = tempfile::tempdir_in(root).unwrap();
    let certificates = Certificates::make(scratch.path());
    (scratch, certificates)
}

pub struct Certificates {
    directory: PathBuf,
    environment: Arc<Environment>,
}

impl Certificates {
    fn make(directory: &Path) -> Self {
        let requests = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs");
        let file = |name: &str| requests.join(name);
        let (request, config) = (file("ca-csr.json"), file("ca-config.json"));
        let ca = CaOrder { request: &request, out_dir: directory, name: "ca", force: false };
        let ca = certs::make_ca(&ca).unwrap();
        for (name, profile) in [("server", "server"), ("root-client", "client")] {
            certs::issue(&LeafOrder {
                ca_cert: &ca.certificate,
                ca_key: &ca.key,
                config: &config,
                profile,
                request: &file(&format!("{name}-csr.json")),
                out_dir: directory,
                name,
                force: false,
            })
            .unwrap();
        }
        let environment = Arc::new(EnvBuilder::new().cq_count(1).name_prefix("client").build());
        Self { directory: directory.to_owned(), environment }
    }

    /// One of the certificates or keys.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    #[allow(dead_code)] // Some benches serve with options of their own.
    pub fn serve(&self, logs: &Arc<Logs>) -> Server {
        self.serve_with(logs, |_| {})
    }

    #[allow(dead_code)] // Some benches run the program.
    pub fn serve_with(&self, logs: &Arc<Logs>, change: impl FnOnce(&mut ServerOptions)) -> Server {
        let credentials = Credentials::load(
            &self.file("server.pem"),
            &self.file("server-key.pem"),
            &self.file("ca.pem"),
        );
        let transport = Transport::MutualTls(Arc::new(credentials.unwrap()));
        let policy = Policy::parse("p, root, *, *", Path::new("acl.csv")).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut options = ServerOptions::new(listen, transport, Rules::new(Arc::new(policy)));
        change(&mut options);
        Server::start(options, Arc::clone(logs)).unwrap()
    }

    /// A connection of its own.
    pub fn channel(&self, port: u16) -> Channel {
        let read = |name: &str| std::fs::read(self.file(name)).unwrap();
        let credentials = ChannelCredentialsBuilder::new()
            .root_cert(read("ca.pem"))
            .cert(read("root-client.pem"), read("root-client-key.pem"))
            .build();
        ChannelBuilder::new(Arc::clone(&self.environment))
            .use_local_subchannel_pool(true)
            .set_credentials(credentials)
            .connect(&format!("127.0.0.1:{port}"))
    }
}

#[allow(dead_code)] // Not every bench asks.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What this process has had of the processors.
#[allow(dead_code)] // Not every bench asks.
pub fn cpu_time() -> Duration {
    cpu_time_of(std::process::id())
}

/// What a process has had of the processors.
#[allow(dead_code)] // Not every bench asks.
pub fn cpu_time_of(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // User and system time, in ticks of 10 ms.
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
