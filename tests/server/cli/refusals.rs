//! What is refused: with which exit code, naming what is wrong, where, and what would be right.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::site::{Site, run, varve};

/// Runs `varve serve` on `config` in a site that `spoil` changed, and expects exit code 2.
fn refused(config: &str, spoil: impl Fn(&Site), parts: &[&str]) {
    let site = Site::new();
    site.write("varve.toml", config);
    spoil(&site);
    let command = varve(["serve", "--config", &site.path("varve.toml")]);
    let outcome = run(command, b"");
    outcome.refused(2, parts);
    assert!(!fs::exists(site.path("data")).unwrap(), "something was started");
    // The check finds the same and starts nothing either.
    let command = varve(["config", "check", "--config", &site.path("varve.toml")]);
    run(command, b"").refused(2, parts);
}

const GOOD: &str = "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\
                    [acl]\nfile = \"acl.csv\"\n\
                    [tls]\ncert = \"server.pem\"\nkey = \"server-key.pem\"\n\
                    client_ca = \"ca.pem\"\n";

#[test]
fn a_wrong_configuration_is_refused_with_its_line() {
    let table: [(&str, &[&str]); 6] = [
        ("[log]\nsegment_byte_max = 1\n", &["varve.toml:10:", "log.segment_bytes_max"]),
        ("[storage]\nflushers = 0\n", &["varve.toml:10:", "storage.flushers is 0", "1 to 256"]),
        ("[storage]\nstrict = \"no\"\n", &["varve.toml:10:", "true or false"]),
        ("[tls]\n", &["varve.toml:9:", "not valid TOML"]),
        ("[insecure]\nplaintext = true\n", &["insecure.plaintext and tls.cert"]),
        ("colour = 1\n", &["varve.toml:9:", "tls.colour"]),
    ];
    for (text, parts) in table {
        refused(&format!("{GOOD}{text}"), |_| (), parts);
    }
    let without_list = GOOD.replace("file", "#file");
    refused(&without_list, |_| (), &["no access control list", "--acl"]);
}

#[test]
fn unusable_files_are_refused_by_name() {
    let remove = |site: &Site| fs::remove_file(site.path("server.pem")).unwrap();
    refused(GOOD, remove, &["server.pem", "No such file", "check the path"]);

    let other_key = |site: &Site| {
        fs::rename(site.path("root-key.pem"), site.path("server-key.pem")).unwrap();
    };
    refused(GOOD, other_key, &["server-key.pem", "does not belong", "server.pem"]);

    let open_key = |site: &Site| {
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(site.path("server-key.pem"), mode).unwrap();
    };
    refused(GOOD, open_key, &["server-key.pem", "0644", "chmod 600"]);

    let leaf_as_ca = |site: &Site| {
        fs::copy(site.path("root.pem"), site.path("ca.pem")).unwrap();
    };
    refused(GOOD, leaf_as_ca, &["ca.pem", "CA"]);

    let bad_rule = |site: &Site| site.write("acl.csv", "# rules\np, root, *, prodce\n");
    refused(GOOD, bad_rule, &["acl.csv:2:", "prodce", "produce"]);
}

#[test]
fn a_wrong_command_line_is_refused_with_help() {
    let site = Site::new();
    let table: [(&[&str], &[&str]); 6] = [
        (&["sreve"], &["serve"]),
        (&["consume", "--plaintext", "--offset", "first"], &["--offset", "whole number"]),
        (&["consume", "--plaintext", "--count", "0"], &["--max-records"]),
        (&["produce", "--plaintext", "--server", "localhost"], &["--server", "host and a port"]),
        (&["produce"], &["--cert", "--key", "--ca"]),
        (&["acl", "check", "a", "write", "b", "--acl", "x"], &["write"]),
    ];
    for (args, parts) in table {
        let outcome = run(varve(args), b"");
        assert_eq!(outcome.code, 2, "{args:?}: {}", outcome.stderr);
        for part in parts {
            assert!(outcome.stderr.contains(part), "{args:?}: {part:?}: {}", outcome.stderr);
        }
    }
    let mut flags = site.server_flags(&["serve"]);
    flags.args(["--plaintext"]);
    run(flags, b"").refused(2, &["insecure.plaintext and tls.cert"]);
    let flags = ["serve", "--plaintext", "--acl", "acl.csv", "--listen", "0.0.0.0:0"];
    run(varve(flags), b"").refused(2, &["loopback", "0.0.0.0:0"]);
    let flags = ["serve", "--listen", "localhost:1"];
    run(varve(flags), b"").refused(2, &["on the command line", "listen", "\"127.0.0.1:8400\""]);
}

#[test]
fn a_client_learns_what_keeps_it_from_the_server() {
    let (site, other) = (Site::new(), Site::new());
    let server = site.serve();
    let consume = |name: &str, address: &str| run(site.client(name, address, &["consume"]), b"");

    consume("nobody", &server.address)
        .refused(1, &["nobody not permitted to consume to default", "p, nobody, default, consume"]);
    consume("root", "127.0.0.1:1").refused(1, &["127.0.0.1:1", "refused", "--server"]);
    consume("root", "no-such-host.invalid:1").refused(1, &["cannot find the host"]);

    let mut foreign = other.client("root", &server.address, &["consume"]);
    run(foreign, b"").refused(2, &["not who it should be", "--ca"]);
    foreign = other.client("root", &server.address, &["consume", "--ca", &site.path("ca.pem")]);
    let outcome = run(without_own_ca(foreign, &other), b"");
    outcome.refused(2, &["did not accept the client's certificate", "client_ca"]);

    let mut named = site.client("root", &server.address, &["consume"]);
    named.args(["--tls-name", "elsewhere.example"]);
    run(named, b"").refused(2, &["not who it should be", "--tls-name"]);
    let mut named = site.client("root", &server.address, &["consume"]);
    named.args(["--tls-name", "localhost"]);
    run(named, b"").done();

    let plain = varve(["consume", "--plaintext", "--server", &server.address]);
    run(plain, b"").refused(1, &["no answer", "--cert"]);

    let beyond = site.client("root", &server.address, &["consume", "--offset", "9"]);
    run(beyond, b"").refused(1, &["OFFSET_OUT_OF_RANGE", "--offset start"]);
}

/// The command of `other` without its own `--ca`, which stands before the one that counts.
fn without_own_ca(command: std::process::Command, other: &Site) -> std::process::Command {
    let own = other.path("ca.pem");
    let args: Vec<_> = command.get_args().map(|arg| arg.to_str().unwrap().to_owned()).collect();
    let place = args.iter().position(|arg| *arg == own).unwrap();
    let kept = args.iter().enumerate().filter(|(at, _)| *at != place && *at + 1 != place);
    varve(kept.map(|(_, arg)| arg))
}

#[test]
fn client_files_are_checked_before_they_are_used() {
    let site = Site::new();
    let with = |cert: &str, key: &str, ca: &str| {
        let mut command = varve(["consume", "--server", "127.0.0.1:1", "--cert", &site.path(cert)]);
        command.args(["--key", &site.path(key), "--ca", &site.path(ca)]);
        run(command, b"")
    };
    with("none.pem", "root-key.pem", "ca.pem").refused(2, &["none.pem", "No such file"]);
    with("root.pem", "nobody-key.pem", "ca.pem").refused(2, &["nobody-key.pem", "root.pem"]);
    with("root.pem", "root.pem", "ca.pem").refused(2, &["the key", "root.pem", "not valid PEM"]);
    with("root.pem", "root-key.pem", "acl.csv").refused(2, &["acl.csv", "no certificate"]);
}
