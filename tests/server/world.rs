//! A server in this process on a directory or a simulated disk of its own, and clients for it.

use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{
    CallOption, Channel, ChannelBuilder, ChannelCredentials, ChannelCredentialsBuilder,
    ClientDuplexReceiver, ClientDuplexSender, ClientSStreamReceiver, Environment, RpcStatusCode,
    WriteFlags,
};
use protobuf::{Message as _, MessageField};
use tempfile::TempDir;
use varve::acl::Policy;
use varve::log::{DEFAULT_LOG, Disk, Durability, Log, Logs, Options, OsDisk, SimDisk};
use varve::proto::error_details::{ErrorInfo, LocalizedMessage, RequestInfo, RetryInfo};
use varve::proto::log::{ConsumeRequest, ConsumeResponse, ProduceRequest, ProduceResponse, Record};
use varve::proto::log_grpc::LogClient;
use varve::proto::status::Status;
use varve::server::{Server, ServerOptions, Stopped, Transport};
use varve::service::Rules;
use varve::tls::Credentials;

use crate::pki::{Authority, Identity};

/// What nobody should have to wait for in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// May do everything.
pub(crate) const ROOT: &str = "p, root, *, *";

/// A server with its logs and its authority.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) logs: Arc<Logs>,
    server: Option<Server>,
    port: u16,
    folder: TempDir,
}

/// How a world is made.
pub(crate) struct Plan {
    /// A simulated disk instead of a folder.
    pub(crate) disk: Option<Arc<SimDisk>>,
    pub(crate) storage: Options,
    pub(crate) change: Box<dyn FnOnce(&mut ServerOptions)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            disk: None,
            // A test may run on a disk that is nearly full.
            storage: Options { min_free_bytes: 0, ..Options::default() },
            change: Box::new(|_| {}),
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(Plan::default())
    }

    /// With other options of the server.
    pub(crate) fn with(change: impl FnOnce(&mut ServerOptions) + 'static) -> Self {
        Self::of(Plan { change: Box::new(change), ..Plan::default() })
    }

    pub(crate) fn of(plan: Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Varve test CA");
        let credentials = credentials(folder.path(), &authority.server(), &authority);
        let (data, disk): (PathBuf, Arc<dyn Disk>) = match plan.disk {
            Some(disk) => (PathBuf::from("/data"), disk),
            None => (folder.path().join("data"), Arc::new(OsDisk::new())),
        };
        let logs = Logs::open(&data, disk, plan.storage).unwrap();
        let mut options =
            ServerOptions::new(anywhere(), Transport::MutualTls(credentials), rules(ROOT));
        (plan.change)(&mut options);
        let server = Server::start(options, Arc::clone(&logs)).unwrap();
        let port = server.port();
        Self { authority, logs, server: Some(server), port, folder }
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its folder of data, unless its disk is simulated.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Stops the server in order.
    pub(crate) fn shutdown(&mut self) -> Stopped {
        self.server.take().unwrap().shutdown()
    }

    /// Stops the server and starts another on the same port and data, with its default options.
    pub(crate) fn restart(&mut self) {
        self.shutdown();
        self.logs.close().unwrap();
        let data = self.folder.path().join("data");
        let storage = Options { min_free_bytes: 0, ..Options::default() };
        self.logs = Logs::open(&data, Arc::new(OsDisk::new()), storage).unwrap();
        let transport = Transport::MutualTls(self.credentials_of(&self.authority));
        let listen = ([127, 0, 0, 1], self.port).into();
        let options = ServerOptions::new(listen, transport, rules(ROOT));
        self.server = Some(Server::start(options, Arc::clone(&self.logs)).unwrap());
    }

    /// A connection of its own for the subject `name`.
    pub(crate) fn channel(&self, name: &str) -> Channel {
        self.channel_as(&self.authority.client(name))
    }

    pub(crate) fn channel_as(&self, identity: &Identity) -> Channel {
        connect(self.port, with_certificate(&self.authority, identity))
    }

    pub(crate) fn client(&self, name: &str) -> LogClient {
        LogClient::new(self.channel(name))
    }

    /// What the server answers to one who shows `identity` and appends a record.
    pub(crate) fn produce_as(&self, identity: &Identity) -> grpcio::Result<ProduceResponse> {
        LogClient::new(self.channel_as(identity)).produce_opt(&record("x"), in_time())
    }

    /// Does the work that flushers would do.
    pub(crate) fn work_until_dropped(&self) -> Worker {
        let ended = Arc::new(AtomicBool::new(false));
        let (logs, end) = (Arc::clone(&self.logs), Arc::clone(&ended));
        let work = move || {
            while !end.load(Ordering::SeqCst) {
                logs.work();
                std::thread::yield_now();
            }
        };
        Worker { ended, thread: Some(std::thread::spawn(work)) }
    }

    /// Credentials of another authority for this server.
    pub(crate) fn credentials_of(&self, authority: &Authority) -> Arc<Credentials> {
        credentials(tempfile::tempdir().unwrap().path(), &authority.server(), authority)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown();
        }
    }
}

pub(crate) fn anywhere() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

pub(crate) fn rules(text: &str) -> Rules {
    Rules::new(Arc::new(Policy::parse(text, Path::new("acl.csv")).unwrap()))
}

pub(crate) fn environment() -> Arc<Environment> {
    static SHARED: OnceLock<Arc<Environment>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(|| Arc::new(Environment::new(2))))
}

pub(crate) fn with_certificate(authority: &Authority, identity: &Identity) -> ChannelCredentials {
    with_pem(authority.pem(), identity.certificate.clone(), identity.key.clone())
}

pub(crate) fn with_pem(root: Vec<u8>, certificate: Vec<u8>, key: Vec<u8>) -> ChannelCredentials {
    ChannelCredentialsBuilder::new().root_cert(root).cert(certificate, key).build()
}

pub(crate) fn connect(port: u16, credentials: ChannelCredentials) -> Channel {
    ChannelBuilder::new(environment())
        // Otherwise clients with the same settings would share a connection.
        .use_local_subchannel_pool(true)
        .set_credentials(credentials)
        .connect(&format!("127.0.0.1:{port}"))
}

/// Writes the files of a server and reads them as the program does.
fn credentials(folder: &Path, identity: &Identity, clients: &Authority) -> Arc<Credentials> {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let certificate = write("server.pem", &identity.certificate);
    let key = write("server-key.pem", &identity.key);
    let authorities = write("ca.pem", &clients.pem());
    Arc::new(Credentials::load(&certificate, &key, &authorities).unwrap())
}

/// For each call, so that a fault fails a test instead of stopping it for ever.
pub(crate) fn in_time() -> CallOption {
    CallOption::default().timeout(PATIENCE)
}

pub(crate) fn record(value: impl AsRef<[u8]>) -> ProduceRequest {
    let value = value.as_ref().to_vec().into();
    let record = MessageField::some(Record { value, ..Record::default() });
    ProduceRequest { record, ..ProduceRequest::default() }
}

pub(crate) fn at(offset: u64) -> ConsumeRequest {
    ConsumeRequest { offset, ..ConsumeRequest::default() }
}

/// Offset and value of a reply's record.
pub(crate) fn read(reply: ConsumeResponse) -> (u64, Vec<u8>) {
    let record = reply.record.unwrap();
    (record.offset, record.value.to_vec())
}

/// An open stream of records.
pub(crate) struct Records {
    replies: ClientSStreamReceiver<ConsumeResponse>,
    /// Without it the stream would end.
    _client: LogClient,
}

impl Records {
    pub(crate) fn open(client: &LogClient, offset: u64) -> Self {
        let replies = client.consume_stream_opt(&at(offset), in_time()).unwrap();
        Self { replies, _client: client.clone() }
    }

    pub(crate) fn next(&mut self) -> grpcio::Result<(u64, Vec<u8>)> {
        block_on(self.replies.next()).expect("the stream has no end").map(read)
    }
}

/// An open stream of requests with its replies.
pub(crate) struct Producer {
    requests: ClientDuplexSender<ProduceRequest>,
    replies: ClientDuplexReceiver<ProduceResponse>,
    /// Without it the stream would end.
    _client: LogClient,
}

impl Producer {
    pub(crate) fn open(client: &LogClient) -> Self {
        let (requests, replies) = client.produce_stream_opt(in_time()).unwrap();
        Self { requests, replies, _client: client.clone() }
    }

    pub(crate) fn send(&mut self, request: ProduceRequest) -> grpcio::Result<()> {
        block_on(self.requests.send((request, WriteFlags::default())))
    }

    /// The offset in the next reply; `None` if the stream ended well.
    pub(crate) fn next(&mut self) -> Option<grpcio::Result<u64>> {
        block_on(self.replies.next()).map(|reply| reply.map(|reply| reply.offset))
    }

    /// The offset in the next reply, which must come.
    pub(crate) fn offset(&mut self) -> u64 {
        self.next().expect("the stream has ended").expect("a reply")
    }

    /// How the stream fails, after replies that may still come.
    pub(crate) fn failure(&mut self) -> Failure {
        loop {
            match self.next().expect("the stream has not ended well") {
                Ok(_) => {}
                error => return failure(error),
            }
        }
    }

    /// Both ends, for two threads or loops.
    pub(crate) fn split(
        self,
    ) -> (ClientDuplexSender<ProduceRequest>, ClientDuplexReceiver<ProduceResponse>, LogClient)
    {
        (self.requests, self.replies, self._client)
    }
}

/// How a call failed, taken apart.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) info: ErrorInfo,
    pub(crate) request_id: String,
    pub(crate) retry: Option<RetryInfo>,
    pub(crate) localized: Option<LocalizedMessage>,
}

impl Failure {
    /// A value of the error's metadata.
    pub(crate) fn value(&self, key: &str) -> &str {
        self.info.metadata.get(key).map_or("", String::as_str)
    }
}

/// The failure of a call that must fail, with its details, which must agree with its status.
pub(crate) fn failure<T>(outcome: grpcio::Result<T>) -> Failure {
    let status = match outcome {
        Err(grpcio::Error::RpcFailure(status)) => status,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("the call did not fail"),
    };
    let details = Status::parse_from_bytes(status.details()).unwrap();
    assert!(!details.details.is_empty(), "no details: {status:?}");
    assert_eq!(details.code, i32::from(status.code()));
    assert_eq!(details.message, status.message());
    let find = |name: &str| details.details.iter().find(|any| any.type_url.ends_with(name));
    let request: RequestInfo = find(".RequestInfo").unwrap().unpack().unwrap().unwrap();
    Failure {
        code: details.code,
        message: details.message.clone(),
        request_id: request.request_id,
        info: find(".ErrorInfo").unwrap().unpack().unwrap().unwrap(),
        retry: find(".RetryInfo").map(|any| any.unpack().unwrap().unwrap()),
        localized: find(".LocalizedMessage").map(|any| any.unpack().unwrap().unwrap()),
    }
}

/// The status code of a call that must fail.
pub(crate) fn code<T>(outcome: grpcio::Result<T>) -> RpcStatusCode {
    match outcome {
        Err(grpcio::Error::RpcFailure(status)) => status.code(),
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("the call did not fail"),
    }
}

/// Tells how many records others have appended to the log, durable or not, by appending one.
pub(crate) struct Appended {
    log: Arc<Log>,
    here: u64,
}

impl Appended {
    pub(crate) fn new(world: &World) -> Self {
        Self { log: world.logs.get(DEFAULT_LOG).unwrap(), here: 0 }
    }

    pub(crate) fn by_others(&mut self) -> u64 {
        // An empty record, as the log stores it.
        let pending = self.log.append(b"\x0a\x00", NonZeroU32::MIN, Durability::Synced).unwrap();
        self.here += 1;
        pending.next_offset().get() - self.here
    }
}

/// Does the work of a world without flushers; it ends with this value.
pub(crate) struct Worker {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Tries until there is something, for as long as a second.
pub(crate) fn within_a_second<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(1), "not within a second");
        std::thread::yield_now();
    }
}
