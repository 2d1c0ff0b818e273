//! The project's own requests, made into certificates that OpenSSL, cfssl and a TLS handshake take.
//!
//! The tools `openssl` and `cfssl` are run if they are on the path; a test says so if one is not.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use openssl::ssl::{SslAcceptor, SslConnector, SslFiletype, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use varve::certs::{CaOrder, LeafOrder, Written, inspect, issue, make_ca};
use varve::tls::identity::subject_of;
use varve::tls::{Credentials, TlsError};

/// A folder with what `varve certs` makes of the requests in `certs/`.
struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn new() -> Self {
        let made = Self::empty();
        made.make_ca();
        made.issue("server", "server-csr.json", "server");
        made.issue("client", "root-client-csr.json", "root");
        made.issue("client", "nobody-client-csr.json", "nobody");
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make_ca(&self) -> Written {
        let request = &request("ca-csr.json");
        let order = CaOrder { request, out_dir: self.folder.path(), name: "ca", force: false };
        without_warnings(make_ca(&order).unwrap())
    }

    fn issue(&self, profile: &str, request_name: &str, name: &str) -> Written {
        self.issue_request(profile, &request(request_name), name)
    }

    fn issue_request(&self, profile: &str, request_path: &Path, name: &str) -> Written {
        let order = LeafOrder {
            ca_cert: &self.path("ca.pem"),
            ca_key: &self.path("ca-key.pem"),
            config: &request("ca-config.json"),
            profile,
            request: request_path,
            out_dir: self.folder.path(),
            name,
            force: false,
        };
        without_warnings(issue(&order).unwrap())
    }

    fn load(&self) -> Result<Credentials, TlsError> {
        let [certificate, key, ca] =
            ["server.pem", "server-key.pem", "ca.pem"].map(|name| self.path(name));
        Credentials::load(&certificate, &key, &ca)
    }

    fn subject(&self, name: &str) -> String {
        let pem = fs::read(self.path(&format!("{name}.pem"))).unwrap();
        subject_of(&X509::from_pem(&pem).unwrap()).unwrap().to_string()
    }

    /// What `cfssl` makes of the same requests, stored as `cfssljson -bare` does.
    fn by_cfssl(&self, arguments: &[&str], name: &str) {
        let output = Command::new("cfssl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        fs::write(self.path(&format!("{name}.pem")), answer["cert"].as_str().unwrap()).unwrap();
        let key = self.path(&format!("{name}-key.pem"));
        fs::write(&key, answer["key"].as_str().unwrap()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn ca_by_cfssl(&self) {
        self.by_cfssl(&["gencert", "-initca", text(&request("ca-csr.json"))], "ca");
    }

    fn leaf_by_cfssl(&self, profile: &str, request_name: &str, name: &str) {
        let [ca, key] = ["ca.pem", "ca-key.pem"].map(|name| self.path(name));
        let (config, profile) = (request("ca-config.json"), format!("-profile={profile}"));
        let files = ["-ca", text(&ca), "-ca-key", text(&key), "-config", text(&config)];
        let asked = [profile.as_str(), text(&request(request_name))].map(str::to_owned);
        let arguments: Vec<&str> =
            ["gencert"].into_iter().chain(files).chain(asked.iter().map(String::as_str)).collect();
        self.by_cfssl(&arguments, name);
    }
}

fn request(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("certs").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn without_warnings(written: Written) -> Written {
    assert_eq!(written.warnings, []);
    written
}

fn has_tool(name: &str) -> bool {
    let is_there = Command::new(name).arg("version").output().is_ok();
    if !is_there {
        println!("skipped: {name} is not on the path");
    }
    is_there
}

/// Runs `openssl verify` with every check that it has.
fn verify(made: &Made, name: &str, purpose: &str, more: &[&str]) -> Output {
    Command::new("openssl")
        .args(["verify", "-x509_strict", "-auth_level", "2", "-no-CApath", "-no-CAstore"])
        .args(["-CAfile", text(&made.path("ca.pem")), "-purpose", purpose])
        .args(more)
        .arg(made.path(name))
        .output()
        .unwrap()
}

#[track_caller]
fn assert_verified(made: &Made, name: &str, purpose: &str, more: &[&str]) {
    let output = verify(made, name, purpose, more);
    assert!(
        output.status.success(),
        "{name} {more:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn openssl_takes_what_is_made_of_the_projects_requests() {
    if !has_tool("openssl") {
        return;
    }
    let made = Made::new();
    for more in
        [["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"], ["-verify_ip", "::1"]]
    {
        assert_verified(&made, "server.pem", "sslserver", &more);
    }
    assert_verified(&made, "root.pem", "sslclient", &[]);
    assert_verified(&made, "nobody.pem", "sslclient", &[]);
    assert_verified(&made, "ca.pem", "any", &[]);
    for (name, purpose, more) in [
        ("server.pem", "sslclient", &[][..]),
        ("root.pem", "sslserver", &[]),
        ("server.pem", "sslserver", &["-verify_hostname", "other"]),
        ("server.pem", "sslserver", &["-verify_ip", "127.0.0.2"]),
    ] {
        assert!(!verify(&made, name, purpose, more).status.success(), "{name} {purpose}");
    }
}

#[test]
fn openssl_takes_every_kind_of_key_and_host() {
    if !has_tool("openssl") {
        return;
    }
    for key in [r#""ecdsa", "size": 256"#, r#""ecdsa", "size": 384"#, r#""rsa", "size": 3072"#] {
        let made = Made::empty();
        let ca = made.path("ca.json");
        fs::write(&ca, format!(r#"{{"CN": "ca", "key": {{"algo": {key}}}}}"#)).unwrap();
        let order = CaOrder { request: &ca, out_dir: made.folder.path(), name: "ca", force: false };
        make_ca(&order).unwrap();
        let leaf = made.path("leaf.json");
        let hosts = r#""*.a.example", "10.0.0.1", "ops@a.example", "spiffe://a/b""#;
        let request = format!(r#"{{"CN": "x", "hosts": [{hosts}], "key": {{"algo": {key}}}}}"#);
        fs::write(&leaf, request).unwrap();
        made.issue_request("server", &leaf, "leaf");
        for more in [
            ["-verify_hostname", "b.a.example"],
            ["-verify_ip", "10.0.0.1"],
            ["-verify_email", "ops@a.example"],
        ] {
            assert_verified(&made, "leaf.pem", "sslserver", &more);
        }
    }
}

#[test]
fn a_server_starts_with_what_is_made_of_the_projects_requests() {
    let made = Made::new();
    let credentials = made.load().unwrap();
    assert_eq!(credentials.warnings(), []);
    assert_eq!((made.subject("root"), made.subject("nobody")), ("root".into(), "nobody".into()));
}

#[test]
fn a_clients_certificate_does_not_serve_a_server() {
    let made = Made::new();
    let [certificate, key, ca] = ["root.pem", "root-key.pem", "ca.pem"].map(|name| made.path(name));
    let error = Credentials::load(&certificate, &key, &ca).unwrap_err().to_string();
    assert!(error.ends_with("it is not for servers: have it issued with the usage `server auth`"));
}

/// Shakes hands over a socket pair; the server's answer proves that it took the client in.
fn shake_hands(made: &Made, client: &str) -> bool {
    let mut acceptor = SslAcceptor::mozilla_modern_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate_chain_file(made.path("server.pem")).unwrap();
    acceptor.set_private_key_file(made.path("server-key.pem"), SslFiletype::PEM).unwrap();
    acceptor.set_ca_file(made.path("ca.pem")).unwrap();
    acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    let acceptor = acceptor.build();
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_min_proto_version(Some(SslVersion::TLS1_3)).unwrap();
    connector.set_ca_file(made.path("ca.pem")).unwrap();
    let certificate = made.path(&format!("{client}.pem"));
    connector.set_certificate_chain_file(certificate).unwrap();
    let key = made.path(&format!("{client}-key.pem"));
    connector.set_private_key_file(key, SslFiletype::PEM).unwrap();
    let connector = connector.build();
    let (near, far) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Ok(mut stream) = acceptor.accept(far) {
                stream.write_all(b"in").unwrap();
            }
        });
        let mut answer = [0; 2];
        connector
            .connect("127.0.0.1", near)
            .is_ok_and(|mut stream| stream.read_exact(&mut answer).is_ok() && answer == *b"in")
    })
}

#[test]
fn a_mutual_handshake_works_and_tells_servers_from_clients() {
    let made = Made::new();
    assert!(shake_hands(&made, "root"));
    assert!(shake_hands(&made, "nobody"));
    assert!(!shake_hands(&made, "server"));
}

#[test]
fn certificates_of_cfssl_serve_as_well() {
    if !has_tool("cfssl") {
        return;
    }
    let made = Made::empty();
    made.ca_by_cfssl();
    made.leaf_by_cfssl("server", "server-csr.json", "server");
    made.leaf_by_cfssl("client", "root-client-csr.json", "root");
    assert_eq!(made.load().unwrap().warnings(), []);
    assert_eq!(made.subject("root"), "root");
    assert!(shake_hands(&made, "root"));
}

#[test]
fn cfssl_and_varve_make_the_same_of_the_projects_requests() {
    if !has_tool("cfssl") {
        return;
    }
    let (ours, theirs) = (Made::new(), Made::empty());
    theirs.ca_by_cfssl();
    theirs.leaf_by_cfssl("server", "server-csr.json", "server");
    theirs.leaf_by_cfssl("client", "root-client-csr.json", "root");
    theirs.leaf_by_cfssl("client", "nobody-client-csr.json", "nobody");
    for name in ["ca.pem", "server.pem", "root.pem", "nobody.pem"] {
        let [mut our, mut their] = [&ours, &theirs].map(|made| {
            let inspection = inspect(&made.path(name)).unwrap();
            serde_json::to_value(&inspection.certificates[0]).unwrap()
        });
        for summary in [&mut our, &mut their] {
            let fields = summary.as_object_mut().unwrap();
            // These differ from one run to the next, and a check across midnight may see the last.
            for field in ["serial", "sha256", "not_before", "not_after", "days_left"] {
                fields.remove(field).unwrap();
            }
        }
        assert_eq!(our, their, "{name}");
    }
}

#[test]
fn each_of_the_tools_signs_with_the_others_ca() {
    if !has_tool("cfssl") || !has_tool("openssl") {
        return;
    }
    let theirs = Made::empty();
    theirs.ca_by_cfssl();
    theirs.issue("server", "server-csr.json", "server");
    assert_eq!(theirs.load().unwrap().warnings(), []);
    assert_verified(&theirs, "server.pem", "sslserver", &[]);
    let ours = Made::empty();
    ours.make_ca();
    ours.leaf_by_cfssl("server", "server-csr.json", "server");
    assert_eq!(ours.load().unwrap().warnings(), []);
    assert_verified(&ours, "server.pem", "sslserver", &[]);
}
