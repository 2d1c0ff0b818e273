//! Which files a server may start with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::symm::Cipher;
use openssl::x509::X509;
use openssl::x509::extension::KeyUsage;

use super::maker::{Made, Plan, rsa_key, tlv};
use crate::tls::credentials::Files;
use crate::tls::exposure::{Exposure, Reader};
use crate::tls::{
    CertificateFault, Credentials, CredentialsWarning, KeyFault, Moment, Role, TlsError, WeakKey,
    WeakSignature,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Three files that a server can start with, to be changed by a test.
struct Scene {
    folder: tempfile::TempDir,
    root: Made,
    server: Made,
}

impl Scene {
    fn new() -> Self {
        let root = Plan::root().self_signed();
        let server = Plan::server().issued_by(&root);
        let scene = Self { folder: tempfile::tempdir().unwrap(), root, server };
        scene.write("server.pem", &scene.server.certificate_pem());
        scene.write("server-key.pem", &scene.server.key_pem());
        scene.write("ca.pem", &scene.root.certificate_pem());
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
        self.set_mode(name, 0o600);
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The server shows this certificate, issued by the root.
    fn with_server(plan: Plan) -> Self {
        let scene = Self::new();
        let made = plan.issued_by(&scene.root);
        scene.write("server.pem", &made.certificate_pem());
        scene.write("server-key.pem", &made.key_pem());
        scene
    }

    /// Clients are signed by these CAs.
    fn with_authorities(certificates: &[&Made]) -> Self {
        let scene = Self::new();
        let pem: Vec<u8> = certificates.iter().flat_map(|made| made.certificate_pem()).collect();
        scene.write("ca.pem", &pem);
        scene
    }

    fn load(&self) -> Result<Credentials, TlsError> {
        let paths = ["server.pem", "server-key.pem", "ca.pem"].map(|name| self.path(name));
        let [certificate, key, authorities] = &paths;
        let reader = Reader { credentials: None, ..Reader::this_process() };
        Files { certificate, key, authorities }.load(&reader, Moment::now())
    }

    fn refusal(&self) -> TlsError {
        self.load().expect_err("the files should have been refused")
    }

    /// The fault of a certificate, with its file's name and its place there.
    fn fault(&self) -> (String, usize, CertificateFault) {
        match self.refusal() {
            TlsError::Certificate { path, place, fault, .. } => {
                (path.file_name().unwrap().to_str().unwrap().to_owned(), place, fault)
            }
            other => panic!("{other:?}"),
        }
    }

    fn server_fault(&self) -> CertificateFault {
        let (file, place, fault) = self.fault();
        assert_eq!((file.as_str(), place), ("server.pem", 1));
        fault
    }

    fn authority_fault(&self) -> CertificateFault {
        let (file, place, fault) = self.fault();
        assert_eq!((file.as_str(), place), ("ca.pem", 1));
        fault
    }
}

#[test]
fn good_files_are_taken_and_encoded_anew() {
    let scene = Scene::new();
    let pem =
        [b"some words\n".as_slice(), &scene.server.certificate_pem(), b"more words\n"].concat();
    scene.write("server.pem", &pem);
    let credentials = scene.load().unwrap();
    assert_eq!(credentials.cert_pem(), scene.server.certificate_pem());
    assert_eq!(credentials.key_pem(), scene.server.key_pem());
    assert_eq!(credentials.ca_pem(), scene.root.certificate_pem());
    let not_after = Moment::from_asn1(scene.server.certificate.not_after()).unwrap();
    assert_eq!(credentials.not_after(), not_after);
    assert_eq!(credentials.warnings(), []);
    assert!(!format!("{credentials:?}").contains("PRIVATE"));
}

#[test]
fn the_usual_kinds_of_keys_are_taken() {
    for key in [rsa_key(2048), PKey::ec_gen("secp384r1").unwrap()] {
        Scene::with_server(Plan::server().key(key)).load().unwrap();
    }
}

#[test]
fn traditional_key_files_are_taken() {
    let scene = Scene::new();
    scene
        .write("server-key.pem", &scene.server.key.ec_key().unwrap().private_key_to_pem().unwrap());
    assert_eq!(scene.load().unwrap().key_pem(), scene.server.key_pem());
}

#[test]
fn a_chain_is_taken_and_each_of_it_checked() {
    let scene = Scene::new();
    let between = Plan::named("between").authority().issued_by(&scene.root);
    let server = Plan::server().issued_by(&between);
    let chain = [server.certificate_pem(), between.certificate_pem()].concat();
    scene.write("server.pem", &chain);
    scene.write("server-key.pem", &server.key_pem());
    let credentials = scene.load().unwrap();
    assert_eq!(X509::stack_from_pem(credentials.cert_pem()).unwrap().len(), 2);
    assert_eq!(credentials.warnings(), []);
    let leaf = Plan::named("leaf").issued_by(&scene.root);
    scene.write("server.pem", &[server.certificate_pem(), leaf.certificate_pem()].concat());
    let expected = ("server.pem".to_owned(), 2, CertificateFault::NotAuthority);
    assert_eq!(scene.fault(), expected);
}

#[test]
fn a_missing_file_is_named_with_its_role() {
    for (name, role) in [
        ("server.pem", Role::ServerCertificate),
        ("server-key.pem", Role::ServerKey),
        ("ca.pem", Role::ClientAuthorities),
    ] {
        let scene = Scene::new();
        fs::remove_file(scene.path(name)).unwrap();
        let error = scene.refusal();
        assert!(error.to_string().contains(name), "{error}");
        assert!(matches!(error, TlsError::Read { role: found, .. } if found == role));
    }
}

#[test]
fn a_directory_and_a_pipe_are_not_files() {
    let scene = Scene::new();
    fs::remove_file(scene.path("ca.pem")).unwrap();
    fs::create_dir(scene.path("ca.pem")).unwrap();
    assert!(matches!(scene.refusal(), TlsError::NotAFile { .. }));
    fs::remove_dir(scene.path("ca.pem")).unwrap();
    let mode = rustix::fs::Mode::RUSR;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, scene.path("ca.pem"), kind, mode, 0).unwrap();
    assert!(matches!(scene.refusal(), TlsError::NotAFile { .. }));
}

#[test]
fn a_nul_byte_is_refused_wherever_it_stands() {
    for name in ["server.pem", "server-key.pem", "ca.pem"] {
        let scene = Scene::new();
        let mut bytes = fs::read(scene.path(name)).unwrap();
        let end = bytes.len();
        bytes.push(0);
        scene.write(name, &bytes);
        assert!(matches!(scene.refusal(), TlsError::NulByte { position, .. } if position == end));
    }
    let scene = Scene::new();
    scene.write("server.pem", &scene.server.certificate.to_der().unwrap());
    assert!(matches!(scene.refusal(), TlsError::NulByte { .. }));
}

#[test]
fn a_file_without_certificates_is_refused() {
    for name in ["server.pem", "ca.pem"] {
        let scene = Scene::new();
        for bytes in [&b""[..], b"words\n", &scene.server.key_pem()] {
            scene.write(name, bytes);
            assert!(matches!(scene.refusal(), TlsError::NoCertificate { .. }));
        }
    }
}

#[test]
fn a_damaged_block_is_refused_also_behind_a_good_one() {
    for name in ["server.pem", "ca.pem"] {
        let scene = Scene::new();
        let good = fs::read(scene.path(name)).unwrap();
        let cut = &good[..good.len() / 2];
        for bytes in [cut.to_vec(), [&good, cut].concat()] {
            scene.write(name, &bytes);
            assert!(matches!(scene.refusal(), TlsError::Damaged { .. }));
        }
    }
}

#[test]
fn a_file_of_enormous_size_is_refused() {
    let scene = Scene::new();
    let file = fs::File::create(scene.path("ca.pem")).unwrap();
    file.set_len(9 << 20).unwrap();
    assert!(matches!(scene.refusal(), TlsError::TooLarge { .. }));
}

#[test]
fn a_key_that_strangers_can_read_is_refused() {
    let scene = Scene::new();
    scene.set_mode("server-key.pem", 0o644);
    let expected = Exposure::Others { mode: 0o644 };
    let TlsError::Key { fault: KeyFault::Exposed(found), .. } = scene.refusal() else { panic!() };
    assert_eq!(found, expected);
}

#[test]
fn a_key_with_a_passphrase_is_refused_without_asking_for_it() {
    let scene = Scene::new();
    let cipher = Cipher::aes_256_cbc();
    let pem = scene.server.key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap();
    scene.write("server-key.pem", &pem);
    assert!(matches!(scene.refusal(), TlsError::Key { fault: KeyFault::Encrypted, .. }));
    let key = scene.server.key.ec_key().unwrap();
    let traditional = key.private_key_to_pem_passphrase(cipher, b"secret").unwrap();
    scene.write("server-key.pem", &traditional);
    assert!(matches!(scene.refusal(), TlsError::Key { fault: KeyFault::Encrypted, .. }));
}

#[test]
fn what_is_no_key_is_refused() {
    let scene = Scene::new();
    for bytes in [&b""[..], &scene.server.certificate_pem(), &scene.server.key_pem()[..60]] {
        scene.write("server-key.pem", bytes);
        let found = scene.refusal();
        assert!(matches!(found, TlsError::Key { fault: KeyFault::Unreadable { .. }, .. }));
    }
}

#[test]
fn another_certificates_key_is_refused() {
    let scene = Scene::new();
    scene.write("server-key.pem", &Plan::server().self_signed().key_pem());
    assert!(matches!(scene.refusal(), TlsError::Mismatch { .. }));
}

#[test]
fn the_key_belongs_to_the_first_certificate() {
    let scene = Scene::new();
    let between = Plan::named("between").authority().issued_by(&scene.root);
    let server = Plan::server().issued_by(&between);
    scene.write("server.pem", &[between.certificate_pem(), server.certificate_pem()].concat());
    assert_eq!(scene.server_fault(), CertificateFault::IsAuthority);
}

#[test]
fn an_expired_certificate_is_refused_with_its_date() {
    let now = Moment::now();
    let ended = now.minus(HOUR);
    let scene = Scene::with_server(Plan::server().time(ended.minus(HOUR), ended));
    assert!(matches!(
        scene.server_fault(),
        CertificateFault::Expired { not_after, .. } if not_after == ended
    ));
    assert!(scene.refusal().to_string().contains(&ended.to_string()));
    let old = Plan::root().time(ended.minus(HOUR), ended).self_signed();
    let scene = Scene::with_authorities(&[&old]);
    assert!(matches!(scene.authority_fault(), CertificateFault::Expired { .. }));
}

#[test]
fn a_certificate_of_the_future_is_refused() {
    let begins = Moment::now().plus(HOUR);
    let scene = Scene::with_server(Plan::server().time(begins, begins.plus(HOUR)));
    assert!(matches!(
        scene.server_fault(),
        CertificateFault::NotYetValid { not_before, .. } if not_before == begins
    ));
}

#[test]
fn a_certificate_for_other_purposes_is_refused() {
    let scene = Scene::with_server(Plan::named("server").purpose(false, true));
    assert_eq!(scene.server_fault(), CertificateFault::NotForServers);
    let usage = KeyUsage::new().critical().key_encipherment().build().unwrap();
    let scene = Scene::with_server(Plan::server().extension(usage));
    assert_eq!(scene.server_fault(), CertificateFault::NotForSigning);
    Scene::with_server(Plan::named("server").alternative(&tlv(0x82, b"localhost"))).load().unwrap();
    let both = Plan::named("server").purpose(true, true).alternative(&tlv(0x82, b"localhost"));
    Scene::with_server(both).load().unwrap();
}

#[test]
fn addresses_that_abort_the_grpc_core_are_refused() {
    for bytes in [0, 3, 5, 15, 17, 32] {
        let names = [tlv(0x82, b"localhost"), tlv(0x87, &vec![1; bytes])].concat();
        let plan = Plan::named("server").purpose(true, false).alternative(&names);
        let expected = CertificateFault::AddressLength { bytes };
        assert_eq!(Scene::with_server(plan).server_fault(), expected);
    }
}

#[test]
fn malformed_extensions_are_refused() {
    let plan = Plan::server().raw_extension("2.5.29.15", b"\x05\x00");
    assert!(matches!(Scene::with_server(plan).server_fault(), CertificateFault::Malformed(_)));
}

#[test]
fn weak_keys_are_refused() {
    let cases = [
        (rsa_key(1024), WeakKey::Short { bits: 1024 }),
        (PKey::ec_gen("secp521r1").unwrap(), WeakKey::Curve),
        (PKey::generate_ed25519().unwrap(), WeakKey::Kind),
    ];
    for (key, expected) in cases {
        let scene = Scene::with_server(Plan::server().key(key.clone()));
        assert_eq!(scene.server_fault(), CertificateFault::WeakKey(expected));
        scene.write("server.pem", &scene.server.certificate_pem());
        let TlsError::Key { fault: KeyFault::Weak(found), .. } = scene.refusal() else { panic!() };
        assert_eq!(found, expected);
    }
    let root = Plan::root().key(rsa_key(1024)).self_signed();
    let expected = CertificateFault::WeakKey(WeakKey::Short { bits: 1024 });
    assert_eq!(Scene::with_authorities(&[&root]).authority_fault(), expected);
}

#[test]
fn forgeable_signatures_are_refused_except_a_roots_own() {
    for (digest, name) in [(MessageDigest::sha1(), "SHA-1"), (MessageDigest::md5(), "MD5")] {
        let scene = Scene::new();
        let root = Plan::root().key(rsa_key(2048)).digest(digest).self_signed();
        scene.write("ca.pem", &root.certificate_pem());
        scene.load().unwrap();
        let server = Plan::server().digest(digest).issued_by(&root);
        scene.write("server.pem", &server.certificate_pem());
        let expected = CertificateFault::WeakSignature(WeakSignature { digest: name });
        assert_eq!(scene.server_fault(), expected);
    }
}

#[test]
fn the_same_holds_along_a_chain() {
    let scene = Scene::new();
    let digest = MessageDigest::sha1();
    let root = Plan::root().key(rsa_key(2048)).digest(digest).self_signed();
    let between = Plan::named("between").authority().digest(digest).issued_by(&root);
    let server = Plan::server().issued_by(&root);
    scene.write("server-key.pem", &server.key_pem());
    scene.write("server.pem", &[server.certificate_pem(), root.certificate_pem()].concat());
    scene.load().unwrap();
    scene.write("server.pem", &[server.certificate_pem(), between.certificate_pem()].concat());
    let weak = CertificateFault::WeakSignature(WeakSignature { digest: "SHA-1" });
    assert_eq!(scene.fault(), ("server.pem".to_owned(), 2, weak));
}

#[test]
fn only_roots_may_sign_clients() {
    let scene = Scene::new();
    let between = Plan::named("between").authority().issued_by(&scene.root);
    let fault = Scene::with_authorities(&[&between]).authority_fault();
    assert_eq!(fault, CertificateFault::NotRoot);
    // The name of a root alone does not make one.
    let namesake = Plan::root().issued_by(&scene.root);
    let fault = Scene::with_authorities(&[&namesake]).authority_fault();
    assert_eq!(fault, CertificateFault::NotRoot);
    // Nor does its own signature under another name.
    let other = Made { key: scene.root.key.clone(), ..Plan::named("other").self_signed() };
    let renamed = Plan::root().key(scene.root.key.clone()).issued_by(&other);
    let fault = Scene::with_authorities(&[&renamed]).authority_fault();
    assert_eq!(fault, CertificateFault::NotRoot);
    let leaf = Plan::named("self").self_signed();
    let fault = Scene::with_authorities(&[&leaf]).authority_fault();
    assert_eq!(fault, CertificateFault::NotAuthority);
    let usage = KeyUsage::new().critical().digital_signature().build().unwrap();
    let constraints = openssl::x509::extension::BasicConstraints::new().ca().build().unwrap();
    let mute = Plan::named("mute").extension(constraints).extension(usage).self_signed();
    let fault = Scene::with_authorities(&[&mute]).authority_fault();
    assert_eq!(fault, CertificateFault::MayNotSign);
}

#[test]
fn every_authority_of_the_bundle_is_checked() {
    let scene = Scene::new();
    let leaf = Plan::named("leaf").self_signed();
    let two = Scene::with_authorities(&[&scene.root, &Plan::root().self_signed()]);
    assert_eq!(X509::stack_from_pem(two.load().unwrap().ca_pem()).unwrap().len(), 2);
    let bad = Scene::with_authorities(&[&scene.root, &leaf]);
    assert_eq!(bad.fault(), ("ca.pem".to_owned(), 2, CertificateFault::NotAuthority));
}

#[test]
fn what_may_trouble_clients_is_a_warning() {
    let scene = Scene::with_server(Plan::named("server").purpose(true, false));
    let path = scene.path("server.pem");
    assert_eq!(scene.load().unwrap().warnings(), [CredentialsWarning::NoHosts { path }]);
    let scene = Scene::with_authorities(&[&Plan::root().self_signed()]);
    let expected = CredentialsWarning::OtherAuthority {
        certificate: scene.path("server.pem"),
        authorities: scene.path("ca.pem"),
    };
    assert_eq!(scene.load().unwrap().warnings(), [expected]);
}

#[test]
fn the_errors_of_a_wrong_path_say_what_to_do() {
    let none = Path::new("/none/server.pem");
    let error = Credentials::load(none, none, none).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot read the server certificate /none/server.pem: check the path, and that the user \
         who runs varve may read it"
    );
}
