//! Revocation lists of CAs, good and bad, and the server's own.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use openssl::hash::MessageDigest;
use openssl::sign::Signer;
use openssl::x509::X509Crl;

use super::maker::{Made, Plan, tlv};
use crate::tls::error::TlsError;
use crate::tls::revocation::Holder;
use crate::tls::{DenyFault, ListFault, Moment, RevocationFiles, Revocations, Revoked};

const HOUR: Duration = Duration::from_secs(3600);
const ECDSA_WITH_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// 2.5.29.27
const DELTA_INDICATOR: &[u8] = &[0x55, 0x1d, 27];

/// A list that is to be made.
struct Wish<'a> {
    name_of: &'a Made,
    signer: &'a Made,
    revoked: &'a [&'a Made],
    this_update: Moment,
    next_update: Option<Moment>,
    is_delta: bool,
}

impl<'a> Wish<'a> {
    fn of(authority: &'a Made, revoked: &'a [&'a Made]) -> Self {
        let (this_update, next_update) = (Moment::now().minus(HOUR), Moment::now().plus(HOUR));
        let (name_of, signer, is_delta) = (authority, authority, false);
        Self { name_of, signer, revoked, this_update, next_update: Some(next_update), is_delta }
    }

    /// By hand, because OpenSSL's builder makes no list that is empty or has no end.
    fn pem(&self) -> Vec<u8> {
        let entries = self.revoked.iter().flat_map(|made| entry(made)).collect::<Vec<_>>();
        let extension = |kind: &[u8]| {
            tlv(0x30, &[tlv(0x06, kind), tlv(0x01, &[0xff]), tlv(0x04, &tlv(0x02, &[1]))].concat())
        };
        let fields = [
            tlv(0x02, &[1]),
            ECDSA_WITH_SHA256.to_vec(),
            self.name_of.certificate.subject_name().to_der().unwrap(),
            time(self.this_update),
            self.next_update.map(time).unwrap_or_default(),
            if entries.is_empty() { Vec::new() } else { tlv(0x30, &entries) },
            if self.is_delta { tlv(0xa0, &tlv(0x30, &extension(DELTA_INDICATOR))) } else { vec![] },
        ];
        let signed = tlv(0x30, &fields.concat());
        let mut signer = Signer::new(MessageDigest::sha256(), &self.signer.key).unwrap();
        let signature = signer.sign_oneshot_to_vec(&signed).unwrap();
        let signature = tlv(0x03, &[vec![0], signature].concat());
        let der = tlv(0x30, &[signed, ECDSA_WITH_SHA256.to_vec(), signature].concat());
        X509Crl::from_der(&der).unwrap().to_pem().unwrap()
    }
}

fn entry(made: &Made) -> Vec<u8> {
    // With a byte before it that keeps it from being negative.
    let serial = made.certificate.serial_number().to_bn().unwrap().to_vec();
    let serial = tlv(0x02, &[vec![0], serial].concat());
    tlv(0x30, &[serial, time(Moment::now())].concat())
}

fn time(moment: Moment) -> Vec<u8> {
    let digits: String = moment.to_string().chars().filter(char::is_ascii_digit).collect();
    tlv(0x18, format!("{digits}Z").as_bytes())
}

/// Two clients of one root, and the files.
struct Place {
    directory: tempfile::TempDir,
    root: Made,
    good: Made,
    bad: Made,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Plan::root().self_signed();
        fs::write(directory.path().join("ca.pem"), root.certificate.to_pem().unwrap()).unwrap();
        let [good, bad] = ["good", "bad"].map(|name| Plan::named(name).issued_by(&root));
        Self { directory, root, good, bad }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn load(&self, requires_fresh_lists: bool) -> Result<Revocations, TlsError> {
        let [lists, deny_list] = ["crl.pem", "deny.csv"].map(|name| self.file(name));
        Revocations::load(RevocationFiles {
            lists: lists.exists().then_some(&*lists),
            deny_list: deny_list.exists().then_some(&*deny_list),
            authorities: &self.file("ca.pem"),
            requires_fresh_lists,
        })
    }

    fn list(&self, pem: &[u8]) -> &Self {
        fs::write(self.file("crl.pem"), pem).unwrap();
        self
    }

    fn deny(&self, text: &str) -> &Self {
        fs::write(self.file("deny.csv"), text).unwrap();
        self
    }

    fn fault(&self, pem: &[u8]) -> ListFault {
        match self.list(pem).load(false) {
            Err(TlsError::List { place: 1, issuer, fault, .. }) => {
                assert!(issuer.starts_with("CN="), "{issuer}");
                fault
            }
            other => panic!("{other:?}"),
        }
    }
}

fn check(revocations: &Revocations, made: &Made) -> Result<(), Revoked> {
    check_chain(revocations, &[made])
}

fn check_chain(revocations: &Revocations, chain: &[&Made]) -> Result<(), Revoked> {
    let chain: Vec<_> = chain.iter().map(|made| Holder::of(&made.certificate).unwrap()).collect();
    revocations.check(&chain, Moment::now())
}

#[test]
fn whom_the_list_of_the_authority_names_is_revoked_and_nobody_else() {
    let place = Place::new();
    let revocations = place.list(&Wish::of(&place.root, &[&place.bad]).pem()).load(true).unwrap();
    assert_eq!(check(&revocations, &place.bad), Err(Revoked::ByAuthority));
    assert_eq!(check(&revocations, &place.good), Ok(()));
    assert_eq!(revocations.warnings(Moment::now()), [""; 0]);
    assert_eq!(revocations.len(), 1);
}

#[test]
fn an_authority_of_the_same_number_is_another_one() {
    let place = Place::new();
    let stranger = Plan::named("another ca").authority().self_signed();
    let foreign = Plan::named("bad").serial_of(&place.bad).issued_by(&stranger);
    let revocations = place.list(&Wish::of(&place.root, &[&place.bad]).pem()).load(false).unwrap();
    assert_eq!(check(&revocations, &foreign), Ok(()));
}

#[test]
fn an_empty_list_revokes_nobody() {
    let place = Place::new();
    let revocations = place.list(&Wish::of(&place.root, &[]).pem()).load(true).unwrap();
    assert!(revocations.is_empty());
    assert_eq!(check(&revocations, &place.good), Ok(()));
}

#[test]
fn of_two_lists_of_one_authority_the_newer_counts_in_any_order() {
    let place = Place::new();
    let newer = Wish::of(&place.root, &[&place.bad]).pem();
    let old = Moment::now().minus(2 * HOUR);
    let older = Wish { this_update: old, ..Wish::of(&place.root, &[]) }.pem();
    for both in [[&*newer, &older].concat(), [&*older, &newer].concat()] {
        let revocations = place.list(&both).load(false).unwrap();
        assert_eq!(check(&revocations, &place.bad), Err(Revoked::ByAuthority));
    }
}

#[test]
fn a_revoked_authority_below_the_root_takes_its_clients_with_it() {
    let place = Place::new();
    let between = Plan::named("between").authority().issued_by(&place.root);
    let client = Plan::named("client").issued_by(&between);
    let revocations = place.list(&Wish::of(&place.root, &[&between]).pem()).load(false).unwrap();
    assert_eq!(check_chain(&revocations, &[&client, &between]), Err(Revoked::ByAuthority));
    assert_eq!(check_chain(&revocations, &[&client]), Ok(()));
}

#[test]
fn the_list_of_an_authority_below_the_root_counts_if_its_certificate_is_there() {
    let place = Place::new();
    let between = Plan::named("between").authority().issued_by(&place.root);
    let client = Plan::named("client").issued_by(&between);
    let list = Wish::of(&between, &[&client]).pem();
    assert_eq!(place.fault(&list), ListFault::UnknownAuthority);
    let with_authority = [between.certificate.to_pem().unwrap(), list].concat();
    let revocations = place.list(&with_authority).load(false).unwrap();
    assert_eq!(check(&revocations, &client), Err(Revoked::ByAuthority));
    // One that does not lead to a root is nobody.
    let stranger = Plan::named("stranger").authority().self_signed();
    let list = Wish::of(&stranger, &[]).pem();
    let with_stranger = [stranger.certificate.to_pem().unwrap(), list].concat();
    assert_eq!(place.fault(&with_stranger), ListFault::UnknownAuthority);
}

#[test]
fn a_list_that_cannot_be_trusted_is_refused_with_what_is_wrong() {
    let place = Place::new();
    let root = &place.root;
    let forger = Plan::root().self_signed();
    let forged = Wish { signer: &forger, ..Wish::of(root, &[]) }.pem();
    assert_eq!(place.fault(&forged), ListFault::Signature);
    let delta = Wish { is_delta: true, ..Wish::of(root, &[]) }.pem();
    assert_eq!(place.fault(&delta), ListFault::Partial);
    let endless = Wish { next_update: None, ..Wish::of(root, &[]) }.pem();
    assert_eq!(place.fault(&endless), ListFault::NoNextUpdate);
    let early = Wish { this_update: Moment::now().plus(HOUR), ..Wish::of(root, &[]) }.pem();
    assert!(matches!(place.fault(&early), ListFault::FromTheFuture { .. }));
}

#[test]
fn an_authority_that_may_not_sign_lists_makes_none() {
    let place = Place::new();
    let signs_no_lists = Plan::named("no lists").signs_certificates_only().self_signed();
    fs::write(place.file("ca.pem"), signs_no_lists.certificate.to_pem().unwrap()).unwrap();
    assert_eq!(place.fault(&Wish::of(&signs_no_lists, &[]).pem()), ListFault::MayNotSign);
}

#[test]
fn a_file_without_a_list_is_refused() {
    let place = Place::new();
    let certificate = place.root.certificate.to_pem().unwrap();
    assert!(matches!(place.list(&certificate).load(false), Err(TlsError::NoList { .. })));
    let cut = &Wish::of(&place.root, &[]).pem()[..120];
    assert!(matches!(place.list(cut).load(false), Err(TlsError::Damaged { .. })));
}

#[test]
fn a_list_out_of_date_is_told_and_refuses_everyone_if_it_has_to_be_fresh() {
    let place = Place::new();
    let old = Some(Moment::now().minus(Duration::from_secs(60)));
    place.list(&Wish { next_update: old, ..Wish::of(&place.root, &[&place.bad]) }.pem());
    let lenient = place.load(false).unwrap();
    assert_eq!(check(&lenient, &place.good), Ok(()));
    assert_eq!(check(&lenient, &place.bad), Err(Revoked::ByAuthority));
    let [warning] = &*lenient.warnings(Moment::now()) else { panic!("one warning") };
    assert!(warning.contains("CN=test ca") && warning.ends_with("it is used"), "{warning}");
    let strict = place.load(true).unwrap();
    assert_eq!(check(&strict, &place.good), Err(Revoked::ListOutOfDate));
    assert!(strict.warnings(Moment::now())[0].ends_with("its clients are refused"));
}

#[test]
fn without_a_list_of_its_authority_a_client_is_refused_if_there_has_to_be_one() {
    let place = Place::new();
    assert_eq!(check(&place.load(true).unwrap(), &place.good), Err(Revoked::NoList));
    assert_eq!(check(&place.load(false).unwrap(), &place.good), Ok(()));
}

#[test]
fn our_own_list_denies_by_fingerprint_and_by_number() {
    let place = Place::new();
    let digest = place.bad.certificate.digest(MessageDigest::sha256()).unwrap();
    let digits: String = digest.iter().map(|byte| format!("{byte:02X}:")).collect();
    let revocations = place.deny(&format!("# lost\nfingerprint, {digits}\n")).load(false).unwrap();
    assert_eq!(check(&revocations, &place.bad), Err(Revoked::Denied));
    assert_eq!(check(&revocations, &place.good), Ok(()));
    let serial = place.bad.certificate.serial_number().to_bn().unwrap().to_hex_str().unwrap();
    let by_number = format!("serial, {serial}, CN=test ca\n");
    let revocations = place.deny(&by_number).load(false).unwrap();
    assert_eq!(check(&revocations, &place.bad), Err(Revoked::Denied));
    assert_eq!(check(&revocations, &place.good), Ok(()));
    let of_another = format!("serial, {serial}, CN=another ca\n");
    assert_eq!(check(&place.deny(&of_another).load(false).unwrap(), &place.bad), Ok(()));
}

/// Such a line was taken without a word, and kept nobody out.
#[test]
fn an_issuer_that_is_no_known_authority_is_told() {
    let place = Place::new();
    let between = Plan::named("between").authority().issued_by(&place.root);
    place.deny("serial, 1, CN=test ca\nserial, 2, CN=between\nserial, 3, CN=test ca, O=x\n");
    let doubts = place.load(false).unwrap().doubts();
    assert_eq!(doubts.len(), 2, "{doubts:?}");
    assert!(doubts[0].contains("\"CN=between\"") && doubts[1].contains("\"CN=test ca, O=x\""));
    // Its certificate stands beside the lists.
    let list = Wish::of(&place.root, &[]).pem();
    place.list(&[list, between.certificate.to_pem().unwrap()].concat());
    assert_eq!(place.load(false).unwrap().doubts(), doubts[1..]);
    assert!(place.deny("").load(false).unwrap().doubts().is_empty());
}

#[test]
fn a_bad_line_of_our_own_list_is_named() {
    let place = Place::new();
    let error = place.deny("\nfingerprint, 00\n").load(false).unwrap_err();
    assert!(
        matches!(error, TlsError::DenyList { line: 2, fault: DenyFault::Fingerprint(_), .. }),
        "{error:?}"
    );
}
