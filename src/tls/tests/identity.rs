//! Which certificates have a subject, and which.

use proptest::prelude::*;

use super::maker::{PRINTABLE, Plan, TELETEX, UTF8, WIDE, tlv};
use crate::tls::Malformed;
use crate::tls::identity::{IdentityError, Subject, subject_of};

const MAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;

fn subject(plan: Plan) -> Result<String, IdentityError> {
    subject_of(&plan.self_signed().certificate).map(|subject| subject.to_string())
}

fn subject_of_names(names: &[(u8, &[u8])]) -> Result<String, IdentityError> {
    subject(Plan::with_names(names))
}

/// The subject of a certificate with the common name `root` and these alternative names.
fn subject_beside(names: &[(u8, &[u8])]) -> Result<String, IdentityError> {
    let names: Vec<u8> = names.iter().flat_map(|(tag, name)| tlv(*tag, name)).collect();
    subject(Plan::named("root").alternative(&names))
}

#[test]
fn the_common_name_is_the_subject_whatever_hosts_there_are() {
    assert_eq!(subject(Plan::named("root")).unwrap(), "root");
    assert_eq!(subject_of_names(&[(PRINTABLE, b"A b~")]).unwrap(), "A b~");
    let hosts: [(u8, &[u8]); 3] = [(DNS, b"nobody"), (ADDRESS, &[127, 0, 0, 1]), (MAIL, b"a@b.c")];
    assert_eq!(subject_beside(&hosts).unwrap(), "root");
    assert_eq!(subject_beside(&[(DNS, b"spiffe://varve/root")]).unwrap(), "root");
}

#[test]
fn the_one_spiffe_id_goes_before_the_common_name() {
    let id = "spiffe://varve.example/writer";
    assert_eq!(subject_beside(&[(URI, id.as_bytes())]).unwrap(), id);
    assert_eq!(subject_beside(&[(DNS, b"host"), (URI, id.as_bytes())]).unwrap(), id);
    let nameless = Plan::with_names(&[]).alternative(&tlv(URI, id.as_bytes()));
    assert_eq!(subject(nameless).unwrap(), id);
}

#[test]
fn several_uris_are_refused_also_if_only_one_is_a_spiffe_id() {
    for other in ["spiffe://b", "https://b", "spiffe://a"] {
        let names: [(u8, &[u8]); 2] = [(URI, b"spiffe://a"), (URI, other.as_bytes())];
        assert_eq!(subject_beside(&names), Err(IdentityError::SeveralUris { count: 2 }));
    }
}

#[test]
fn another_uri_is_refused_and_the_common_name_does_not_step_in() {
    let uris: [&[u8]; 7] = [
        b"https://varve.example",
        b"SPIFFE://varve/root",
        b"spiffe:/varve/root",
        b"spiffe://",
        b"",
        b"\xff",
        b" spiffe://varve",
    ];
    for uri in uris {
        let expected = Err(IdentityError::OtherUri { uri: uri.to_vec() });
        assert_eq!(subject_beside(&[(URI, uri)]), expected);
    }
}

#[test]
fn a_name_must_be_there_once_and_not_be_empty() {
    assert_eq!(subject_of_names(&[]), Err(IdentityError::Nameless));
    assert_eq!(subject_of_names(&[(UTF8, b"")]), Err(IdentityError::Empty));
    let twice: [(u8, &[u8]); 2] = [(UTF8, b"root"), (UTF8, b"root")];
    assert_eq!(subject_of_names(&twice), Err(IdentityError::SeveralCommonNames { count: 2 }));
    let thrice: [(u8, &[u8]); 3] = [(UTF8, b"a"), (UTF8, b""), (WIDE, b"")];
    assert_eq!(subject_of_names(&thrice), Err(IdentityError::SeveralCommonNames { count: 3 }));
}

#[test]
fn bytes_that_are_not_printable_ascii_are_refused_and_never_cut_off() {
    let cases: [(&[u8], u8, usize); 6] = [
        (b"root\0evil", 0, 4),
        (b"root\0", 0, 4),
        (b"\0", 0, 0),
        (b"ro\not", b'\n', 2),
        (b"root\x7f", 0x7f, 4),
        ("r\u{f6}\u{f6}t".as_bytes(), 0xc3, 1),
    ];
    for (name, byte, place) in cases {
        let expected = Err(IdentityError::NotPrintable { byte, place });
        assert_eq!(subject_of_names(&[(UTF8, name)]), expected);
    }
    let expected = Err(IdentityError::NotPrintable { byte: 0xff, place: 4 });
    assert_eq!(subject_of_names(&[(TELETEX, b"root\xff")]), expected);
    let expected = Err(IdentityError::NotPrintable { byte: 0, place: 10 });
    assert_eq!(subject_beside(&[(URI, b"spiffe://a\0b")]), expected);
    let expected = Err(IdentityError::NotPrintable { byte: 0xff, place: 9 });
    assert_eq!(subject_beside(&[(URI, b"spiffe://\xff")]), expected);
}

#[test]
fn a_wide_encoding_does_not_pass_for_the_ascii_that_its_bytes_spell() {
    assert_eq!(subject_of_names(&[(WIDE, b"root")]), Err(IdentityError::Encoding));
    assert_eq!(subject_of_names(&[(WIDE, b"\0r\0o\0o\0t")]), Err(IdentityError::Encoding));
    assert_eq!(subject_of_names(&[(0x1c, b"\0\0\0r")]), Err(IdentityError::Encoding));
}

#[test]
fn a_subject_has_at_most_255_bytes() {
    let longest = format!("spiffe://{}", "x".repeat(246));
    assert_eq!(subject_beside(&[(URI, longest.as_bytes())]).unwrap(), longest);
    let longer = format!("{longest}x");
    let expected = Err(IdentityError::TooLong { bytes: 256 });
    assert_eq!(subject_beside(&[(URI, longer.as_bytes())]), expected);
    assert_eq!(subject_of_names(&[(UTF8, &[b'x'; 256])]), expected);
}

#[test]
fn malformed_alternative_names_refuse_and_do_not_count_as_absent() {
    let what = "subject alternative names";
    let values: [&[u8]; 7] = [
        b"",
        b"\x30\x05\x86\x01",
        b"\x31\x00",
        b"\x30\x00\x00",
        // A URI in the constructed form, which DER forbids.
        b"\x30\x04\xa6\x02\x86\x00",
        // Beside a right URI, an EDI party, which fuzzing found, and a registered id that are none.
        b"\x30\x19\x86\x0cspiffe://a/b\xa5\x09https://c",
        b"\x30\x11\x86\x0cspiffe://a/b\x88\x01\x80",
    ];
    for value in values {
        let plan = Plan::named("root").raw_extension("2.5.29.17", value);
        assert_eq!(subject(plan), Err(IdentityError::Malformed(Malformed { what })), "{value:x?}");
    }
}

#[test]
fn names_of_other_kinds_are_passed_over() {
    let party = tlv(0xa1, &tlv(UTF8, b"nobody"));
    let names: [(u8, &[u8]); 3] = [(0xa5, &party), (0xa4, b"\x30\x00"), (0x88, &[0x2a, 3])];
    for (tag, name) in names {
        assert_eq!(subject_beside(&[(tag, name), (URI, b"spiffe://a")]).unwrap(), "spiffe://a");
        assert_eq!(subject_beside(&[(tag, name)]).unwrap(), "root");
    }
}

#[test]
fn two_extensions_of_alternative_names_are_refused() {
    let twice =
        Plan::named("root").alternative(&tlv(DNS, b"a")).alternative(&tlv(URI, b"spiffe://b"));
    assert!(matches!(subject(twice), Err(IdentityError::Malformed(_))));
}

#[test]
fn a_fixed_subject_follows_the_same_rules() {
    assert_eq!(Subject::new("anonymous").unwrap().as_str(), "anonymous");
    assert_eq!(Subject::new(""), Err(IdentityError::Empty));
    assert!(Subject::new("a\tb").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The rule of `docs/SECURITY.md`, written down once more over plain values.
    #[test]
    fn the_subject_follows_the_rule(
        common in prop::collection::vec("[a-z\\x00\\x7f]{0,3}", 0..3),
        uris in prop::collection::vec("(spiffe://|http://)[a-z\\x01]{0,2}", 0..3),
        hosts in prop::collection::vec("[a-z]{1,5}", 0..2),
    ) {
        let names: Vec<(u8, &[u8])> = common.iter().map(|one| (UTF8, one.as_bytes())).collect();
        let uri_names = uris.iter().map(|uri| tlv(URI, uri.as_bytes()));
        let alternative: Vec<u8> =
            hosts.iter().map(|host| tlv(DNS, host.as_bytes())).chain(uri_names).flatten().collect();
        let found = subject(Plan::with_names(&names).alternative(&alternative)).ok();
        let candidate = match (&uris[..], &common[..]) {
            ([uri], _) => Some(uri).filter(|uri| uri.len() > 9 && uri.starts_with("spiffe://")),
            ([], [name]) => Some(name),
            _ => None,
        };
        let expected = candidate
            .filter(|name| !name.is_empty() && name.bytes().all(|byte| (32..127).contains(&byte)));
        prop_assert_eq!(found.as_ref(), expected);
    }
}
