//! Certificates, revocations and the access control list, read as the server reads them.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::case::Case;
use super::finding::Finding;
use crate::acl::{Action, Policy};
use crate::certs;
use crate::cli::exit::USAGE;
use crate::cli::output::chain;
use crate::cli::serve::access::DAYS_LEFT_MIN;
use crate::config::{Security, TlsFiles};
use crate::tls::{Credentials, Moment, Revocations};

/// As the alert `VarveCertificateEnds` has it.
const DAYS_LEFT_URGENT: i64 = 14;
const CERTIFICATE: &str = "certificate";
const REVOCATION: &str = "revocation";
const ACL: &str = "acl";

/// Looks at everything that decides who gets in.
pub(super) fn look(case: &Case) -> Vec<Finding> {
    let mut findings = match &case.config.security {
        Security::Plaintext { subject } => vec![Finding::warning(
            CERTIFICATE,
            format!("plaintext: every program on this host is the subject {subject}"),
            "for more than a try set tls.cert, tls.key and tls.client_ca",
        )],
        Security::MutualTls(files) => {
            let mut findings = certificates(case, files);
            findings.extend(revocation(case, files));
            findings
        }
    };
    findings.push(acl(case));
    findings
}

fn certificates(case: &Case, files: &TlsFiles) -> Vec<Finding> {
    let reader = case.servant.reader();
    match Credentials::load_as(&reader, &files.cert, &files.key, &files.client_ca) {
        Err(error) => vec![refused(case, CERTIFICATE, &error)],
        Ok(credentials) => {
            let now = Moment::now();
            let mut findings = vec![time(CERTIFICATE, &described(&files.cert), now, {
                chain_end(&files.cert).unwrap_or(credentials.not_after())
            })];
            let roots = files.client_ca.display().to_string();
            findings.push(time("client_ca", &roots, now, credentials.authorities_not_after()));
            findings.extend(credentials.warnings().iter().map(|warning| {
                let remedy = "issue a certificate with the hosts that clients connect to, from a \
                              CA that they trust";
                Finding::warning(CERTIFICATE, warning.to_string(), remedy)
            }));
            findings
        }
    }
}

/// The file with what its first certificate says.
fn described(path: &Path) -> String {
    let mut text = path.display().to_string();
    let inspection = certs::inspect(path).ok();
    if let Some(first) = inspection.as_ref().and_then(|all| all.certificates.first()) {
        // Writing to a string does not fail.
        let _ = write!(text, ", {}", first.key);
        if !first.names.is_empty() {
            let _ = write!(text, ", for {}", first.names.join(" "));
        }
    }
    text
}

/// When the first of the certificates in the file ends: without one between it and its root a
/// server's is worth nothing.
fn chain_end(path: &Path) -> Option<Moment> {
    let inspection = certs::inspect(path).ok()?;
    inspection.certificates.iter().map(|one| one.not_after).min()
}

/// Judges how long a certificate has to go.
fn time(check: &'static str, what: &str, now: Moment, end: Moment) -> Finding {
    let days = now.days_until(end);
    let left = match days {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    let found = format!("{what}, ends in {left}, on {end}");
    let finding = if days < DAYS_LEFT_URGENT {
        let remedy = "issue another, rename it over the old one, systemctl reload varve";
        Finding::warning(check, found, remedy)
    } else if days < DAYS_LEFT_MIN {
        Finding::note(check, found)
    } else {
        Finding::ok(check, found)
    };
    finding.with("days_left", u64::try_from(days).unwrap_or(0))
}

fn revocation(case: &Case, files: &TlsFiles) -> Vec<Finding> {
    match Revocations::load(files.revocations()) {
        Err(error) => vec![refused(case, REVOCATION, &error)],
        Ok(revocations) => {
            let doubts = revocations.doubts().into_iter().map(|doubt| {
                let remedy = "write the issuer as `varve certs inspect` shows it, or a fingerprint";
                Finding::warning(REVOCATION, doubt, remedy)
            });
            [judge_revocations(files, &revocations)].into_iter().chain(doubts).collect()
        }
    }
}

fn judge_revocations(files: &TlsFiles, revocations: &Revocations) -> Finding {
    let revoked = u64::try_from(revocations.len()).unwrap_or(u64::MAX);
    let stale = revocations.warnings(Moment::now());
    let finding = if stale.is_empty() {
        let found = match (&files.crl, &files.deny_list, revocations.next_update()) {
            (None, None, _) => "neither tls.crl nor tls.deny_list is set".to_owned(),
            (_, _, None) => format!("{revoked} certificates are on the deny list"),
            (_, _, Some(next)) => format!("{revoked} certificates, the next list is due {next}"),
        };
        let has_no_list = files.crl_required && files.crl.is_none();
        if has_no_list { without_list() } else { Finding::ok(REVOCATION, found) }
    } else {
        let remedy = "fetch the list from the CA again, rename it over the old one, reload";
        let judge = if files.crl_required { Finding::fault } else { Finding::warning };
        judge(REVOCATION, stale.join("; "), remedy.to_owned())
    };
    finding.with("revoked", revoked)
}

fn without_list() -> Finding {
    Finding::fault(
        REVOCATION,
        "tls.crl_required is set and tls.crl is not: every client is refused",
        "name the CAs' lists in tls.crl",
    )
}

fn acl(case: &Case) -> Finding {
    let path = &case.config.acl;
    match Policy::load(path) {
        Err(error) => refused(case, ACL, &error),
        Ok(policy) => judge_acl(path, &policy),
    }
}

fn judge_acl(path: &Path, policy: &Policy) -> Finding {
    let [produce, consume, admin] = Action::ALL.map(|action| policy.permitted(action));
    let found =
        format!("{}: {produce} may produce, {consume} consume, {admin} administer", path.display());
    if produce + consume + admin == 0 {
        let remedy = "add lines such as `p, SUBJECT, LOG, produce` (docs/ACL.md)";
        return Finding::warning(
            ACL,
            format!("{}: nobody may do anything", path.display()),
            remedy,
        );
    }
    if admin == 0 {
        return Finding::note(ACL, format!("{found}: logs can be made by nobody"));
    }
    Finding::ok(ACL, found)
}

/// What keeps the server from starting, unless it is only us who may not read the file.
fn refused(case: &Case, check: &'static str, error: &(dyn Error + 'static)) -> Finding {
    let mut cause = Some(error);
    let mut is_denied = false;
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        is_denied |= kind == Some(ErrorKind::PermissionDenied);
        cause = error.source();
    }
    if is_denied && !case.is_servant() {
        return Finding::not_looked_at(check, case.needs());
    }
    Finding::fault(check, chain(error), "mend that file; `varve config check` tells the same")
        .ends_serve(USAGE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::doctor::finding::Verdict;

    #[test]
    fn a_certificate_that_ends_soon_is_told_as_the_alert_does() {
        let now = Moment::from_unix_s(1_795_375_000);
        let days = |days: u64| {
            time(CERTIFICATE, "a.pem", now, now.plus(Duration::from_secs(86_400 * days)))
        };
        assert_eq!(days(30).verdict, Verdict::Ok);
        assert_eq!(days(29).verdict, Verdict::Note);
        assert_eq!(days(14).verdict, Verdict::Note);
        assert_eq!(days(13).verdict, Verdict::Warning);
        let one = days(1);
        assert!(one.found.starts_with("a.pem, ends in 1 day, on 2026-"), "{one:?}");
        assert_eq!(one.figures["days_left"], 1);
    }

    #[test]
    fn a_list_without_anyone_who_may_do_something_is_told_of() {
        let judge = |text: &str| {
            let path = Path::new("acl.csv");
            judge_acl(path, &Policy::parse(text, path).unwrap())
        };
        assert_eq!(judge("p, root, *, *\n").verdict, Verdict::Ok);
        assert_eq!(judge("p, a, *, produce\np, b, *, consume\n").verdict, Verdict::Note);
        assert_eq!(judge("# nothing\n").verdict, Verdict::Warning);
        let found = judge("p, a, *, produce\np, root, *, *\n").found;
        assert_eq!(found, "acl.csv: 2 may produce, 1 consume, 1 administer");
    }
}
