//! What a reload takes of the files, what it refuses, and what makes one happen.

use std::fs::{self, File};
use std::io::Write as _;
use std::thread;

use rustix::process::Signal;

use super::site::{Running, Site, make_pipe, run, varve};

#[test]
fn a_reload_takes_all_files_or_none() {
    let site = Site::new();
    let server = site.serve();
    let consume = |name: &str| run(site.client(name, &server.address, &["consume"]), b"");
    assert_eq!(consume("nobody").code, 1);

    site.write("acl.csv", "p, nobody, default, consume\n");
    server.signal(Signal::HUP);
    server.wait_for_log("event=reloaded");
    assert_eq!(consume("nobody").code, 0);
    assert_eq!(consume("root").code, 1);

    site.write("acl.csv", "p, root, *, *\n");
    site.write("server-key.pem", "no key");
    server.signal(Signal::HUP);
    server.wait_for_log("event=reload_refused");
    assert!(server.log().contains("server-key.pem"), "{}", server.log());
    // The list is right, but it came with a wrong key.
    assert_eq!(consume("nobody").code, 0);
    assert_eq!(consume("root").code, 1);
}

#[test]
fn a_reload_takes_revocations_and_limits_of_the_configuration_as_well() {
    let site = Site::new();
    let config = |limits: &str| {
        let files = "cert = \"server.pem\"\nkey = \"server-key.pem\"\nclient_ca = \"ca.pem\"";
        site.write(
            "varve.toml",
            &format!(
                "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n[tls]\n{files}\n\
                 deny_list = \"deny.csv\"\n[acl]\nfile = \"acl.csv\"\n[limits]\n{limits}\n"
            ),
        );
    };
    site.write("deny.csv", "");
    config("");
    let server = Running::start(varve(["serve", "--config", &site.path("varve.toml")]));
    let produce = || run(site.client("root", &server.address, &["produce"]), b"12345\n");
    produce().done();

    config("record_bytes_max = 4\nqueued_reads_max = 7");
    server.signal(Signal::HUP);
    server.wait_for_log("event=reloaded");
    produce().refused(1, &["the limit is 4 bytes"]);
    let waiting = "event=reload_incomplete key=limits.queued_reads_max";
    assert!(server.log().contains(waiting), "{}", server.log());

    config("");
    site.write("deny.csv", "serial, 1\n");
    server.signal(Signal::HUP);
    server.wait_for_log("event=reload_refused");
    let log = server.log();
    assert!(log.contains("deny.csv, line 1: no issuer"), "{log}");
    produce().refused(1, &["the limit is 4 bytes"]);

    let inspect = varve(["certs", "inspect", "--json", &site.path("root.pem")]);
    let told: serde_json::Value = serde_json::from_slice(&run(inspect, b"").done()).unwrap();
    let (serial, issuer) = (&told["certificates"][0]["serial"], &told["certificates"][0]["issuer"]);
    let line = format!("serial, {}, {}\n", serial.as_str().unwrap(), issuer.as_str().unwrap());
    site.write("deny.csv", &line);
    server.signal(Signal::HUP);
    server.wait_for_logs("event=reloaded", 2);
    produce().refused(1, &["deny list"]);
}

/// The file of a server that looks each second whether a file was replaced; `tls` are the keys of
/// its transport.
fn watching(site: &Site, tls: &str) -> String {
    site.write(
        "watching.toml",
        &format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n{tls}\n[acl]\nfile = \"acl.csv\"\n\
             [reload]\nwatch_every = \"1s\"\n[metrics]\nlisten = \"off\"\n"
        ),
    );
    site.path("watching.toml")
}

const TLS: &str = "[tls]\ncert = \"server.pem\"\nkey = \"server-key.pem\"\nclient_ca = \"ca.pem\"\n\
                   deny_list = \"deny.csv\"";

/// The files were looked at for the first time after recovery, so that one which was replaced
/// between its reading and the end of recovery was never noticed.
#[test]
fn a_file_that_is_replaced_while_the_server_starts_is_noticed() {
    let site = Site::new();
    site.write("deny.csv", "");
    fs::remove_file(site.path("acl.csv")).unwrap();
    make_pipe(&site.path("acl.csv"));
    let config = watching(&site, TLS);
    let server = thread::scope(|scope| {
        let starting = scope.spawn(|| Running::start(varve(["serve", "--config", &config])));
        // Opens once the server does, which has read all other files then.
        let mut pipe = File::options().write(true).open(site.path("acl.csv")).unwrap();
        site.write("acl.new", "p, nobody, *, *\n");
        fs::rename(site.path("acl.new"), site.path("acl.csv")).unwrap();
        pipe.write_all(b"p, root, *, *\n").unwrap();
        drop(pipe);
        starting.join().unwrap()
    });
    server.wait_for_log("event=reloaded");
    assert_eq!(run(site.client("nobody", &server.address, &["consume"]), b"").code, 0);
    assert_eq!(run(site.client("root", &server.address, &["consume"]), b"").code, 1);
}

/// Such a reload left the server with TLS and took all revocations away.
#[test]
fn a_reload_onto_another_transport_is_refused_and_revocations_stay() {
    let site = Site::new();
    let inspect = varve(["certs", "inspect", "--json", &site.path("root.pem")]);
    let told: serde_json::Value = serde_json::from_slice(&run(inspect, b"").done()).unwrap();
    let digest = told["certificates"][0]["sha256"].as_str().unwrap().to_owned();
    site.write("deny.csv", &format!("fingerprint, {digest}\n"));
    let server = Running::start(varve(["serve", "--config", &watching(&site, TLS)]));
    let denied = || {
        let flags = ["produce", "--retry-for", "0"];
        run(site.client("root", &server.address, &flags), b"1\n").refused(1, &["deny list"]);
    };
    denied();
    watching(&site, "[insecure]\nplaintext = true");
    server.signal(Signal::HUP);
    server.wait_for_log("event=reload_refused");
    let why = "the server runs with TLS, and the configuration is in plaintext";
    assert!(server.log().contains(why), "{}", server.log());
    denied();
}

/// Opening such a file waits for somebody who writes into it, on the thread that takes signals.
#[test]
fn a_pipe_in_place_of_a_file_holds_up_no_reload() {
    let site = Site::new();
    site.write("deny.csv", "");
    let config = watching(&site, TLS);
    let server = Running::start(varve(["serve", "--config", &config]));
    for (n, name) in ["acl.csv", "watching.toml"].into_iter().enumerate() {
        let kept = site.path("kept");
        fs::rename(site.path(name), &kept).unwrap();
        make_pipe(&site.path(name));
        server.signal(Signal::HUP);
        server.wait_for_logs("it is not a regular file", n + 1);
        fs::rename(&kept, site.path(name)).unwrap();
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().0.code, 0);
}

/// Such lines were taken without a word, and kept nobody out.
#[test]
fn an_issuer_in_the_deny_list_that_nobody_knows_is_warned_of() {
    let site = Site::new();
    let config = watching(&site, TLS);
    let warned = |line: &str| {
        site.write("deny.csv", line);
        let outcome = run(varve(["config", "check", "--config", &config]), b"");
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        outcome.stderr.contains("the deny list has an issuer")
    };
    assert!(!warned("serial, 1, CN=Test CA\n"));
    assert!(warned("serial, 1, CN = Test CA\n"));
    let outcome = run(varve(["doctor", "--quick", "--config", &config]), b"");
    let told = String::from_utf8(outcome.stdout).unwrap();
    assert!(told.contains("the deny list has an issuer"), "{told}");
}

#[test]
fn a_reload_gives_new_connections_the_new_certificate() {
    let site = Site::new();
    let server = site.serve();
    let named = || {
        let mut command = site.client("root", &server.address, &["consume"]);
        command.args(["--tls-name", "renewed.example"]);
        run(command, b"").code
    };
    assert_eq!(named(), 2);
    for file in ["server.pem", "server-key.pem"] {
        fs::remove_file(site.path(file)).unwrap();
    }
    site.issue("server", "server", r#""127.0.0.1", "renewed.example""#);
    server.signal(Signal::HUP);
    server.wait_for_log("event=reloaded");
    assert_eq!(named(), 0);
}
