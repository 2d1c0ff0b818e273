//! The commands that start nothing: certificates, the list, the configuration, completions.

use super::site::{Site, run, varve};

#[test]
fn the_list_says_who_may_and_why() {
    let site = Site::new();
    site.write("acl.csv", "# rules\np, root, *, *\np, root, secret, consume, deny\n");
    let check = |args: [&str; 3], json: bool| {
        let mut command = varve(["acl", "check"]);
        command.args(args).args(["--acl", &site.path("acl.csv")]);
        command.args(json.then_some("--json"));
        let outcome = run(command, b"");
        (outcome.code, String::from_utf8(outcome.stdout).unwrap())
    };
    let (code, text) = check(["root", "produce", "default"], false);
    assert_eq!((code, text.as_str()), (0, "allowed by line 2: p, root, *, *\n"));
    let (code, text) = check(["root", "consume", "secret"], false);
    assert_eq!(code, 1);
    assert!(text.starts_with("denied by line 3: "), "{text}");
    let (code, text) = check(["nobody", "consume", "default"], false);
    assert_eq!((code, text.as_str()), (1, "denied: no rule applies\n"));
    let (code, text) = check(["nobody", "consume", "default"], true);
    assert_eq!((code, text.as_str()), (1, "{\"allowed\":false,\"line\":null,\"rule\":null}\n"));
    let (code, text) = check(["root", "admin", "x"], true);
    assert_eq!(
        (code, text.as_str()),
        (0, "{\"allowed\":true,\"line\":2,\"rule\":\"p, root, *, *\"}\n")
    );
    site.write("acl.csv", "p, root\n");
    let mut command = varve(["acl", "check", "root", "admin", "x"]);
    command.args(["--acl", &site.path("acl.csv")]);
    run(command, b"").refused(2, &["acl.csv:1:"]);
}

#[test]
fn the_configuration_shows_who_set_what() {
    let site = Site::new();
    site.write("varve.toml", "[storage]\nsync_delay_max = \"50ms\"\n");
    let mut command = site.server_flags(&["config", "check"]);
    command.args(["--config", &site.path("varve.toml")]);
    let text = String::from_utf8(run(command, b"").done()).unwrap();
    let row = |key: &str| {
        let row = text.lines().find(|line| line.starts_with(key)).unwrap();
        row.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("storage.sync_delay_max"), ["50ms", "file"]);
    assert_eq!(row("storage.flushers"), ["4", "default"]);
    assert_eq!(row("listen"), ["127.0.0.1:0", "flag"]);

    let flags = site.server_flags(&["config", "check", "--json"]);
    let args: Vec<_> = flags.get_args().map(|arg| arg.to_str().unwrap()).collect();
    let folder = args.iter().position(|arg| *arg == "--data-dir").unwrap();
    let mut command = varve([&args[..folder], &args[folder + 2..]].concat());
    command.env("STATE_DIRECTORY", "/var/lib/varve:/other");
    let json = String::from_utf8(run(command, b"").done()).unwrap();
    let row = r#"{"key":"data_dir","value":"/var/lib/varve","origin":"service"}"#;
    assert!(json.contains(row), "{json}");
    let row = "{\"key\":\"storage.strict\",\"value\":\"false\",\"origin\":\"default\"}";
    assert!(json.contains(row), "{json}");
    assert!(json.contains("\"warnings\":[\"the server certificate ends in "), "{json}");
}

#[test]
fn certificates_are_made_shown_and_never_overwritten() {
    let site = Site::new();
    let show = varve(["certs", "inspect", &site.path("root.pem"), &site.path("server.pem")]);
    let text = String::from_utf8(run(show, b"").done()).unwrap();
    for part in ["varve subject  root", "IP:127.0.0.1", "DNS:localhost", "server auth"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let show = varve(["certs", "inspect", "--json", &site.path("root.pem")]);
    let json = String::from_utf8(run(show, b"").done()).unwrap();
    assert!(json.contains("\"varve_subject\":\"root\""), "{json}");

    let again = ["certs", "ca", &site.path("ca.json"), "--out", &site.folder()];
    run(varve(again), b"").refused(2, &["ca", "already exists"]);
    run(varve(again.iter().chain(&["--force"])), b"").done();

    site.write("ca.json", "{\"CN\": \"x\", \"kye\": {}}");
    let again = ["certs", "ca", &site.path("ca.json"), "--out", &site.folder(), "--name", "b"];
    run(varve(again), b"").refused(2, &["ca.json:1:", "kye", "key"]);
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(varve(["completions", shell]), b"").done();
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("consume") && script.contains("tls-name"), "{shell}");
    }
}

#[test]
fn manual_pages_are_printed_or_written_below_a_folder() {
    let site = Site::new();
    let page = String::from_utf8(run(varve(["man", "log", "create"]), b"").done()).unwrap();
    assert!(page.contains("\n.TH VARVE-LOG-CREATE 1 \" \" \"varve "), "{page}");
    assert!(page.contains(".SH \"EXIT STATUS\"") && page.contains("retention"), "{page}");

    let mut command = varve(["man", "--out", &site.path("man")]);
    command.env("SOURCE_DATE_EPOCH", "1764000000");
    let written = String::from_utf8(run(command, b"").done()).unwrap();
    assert!(written.lines().count() > 30, "{written}");
    for (page, title) in [
        ("man1/varve.1", "VARVE 1"),
        ("man5/varve.toml.5", "VARVE.TOML 5"),
        ("man8/varve-serve.8", "VARVE-SERVE 8"),
    ] {
        let text = std::fs::read_to_string(site.path(&format!("man/{page}"))).unwrap();
        assert!(text.contains(&format!("\n.TH {title} 2025-11-24 ")), "{text}");
    }

    run(varve(["man", "log", "make"]), b"").refused(2, &["no manual page about log make"]);
    let mut command = varve(["man"]);
    command.env("SOURCE_DATE_EPOCH", "today");
    run(command, b"").refused(2, &["SOURCE_DATE_EPOCH is today", "seconds since 1970"]);
    site.write("file", "");
    let inside = ["man", "--out", &site.path("file")];
    run(varve(inside), b"").refused(74, &["cannot write the manual page", "file"]);
}

#[test]
fn help_has_examples_and_exit_codes() {
    let help = |args: &[&str]| String::from_utf8(run(varve(args), b"").done()).unwrap();
    let text = help(&["--help"]);
    assert!(text.contains("Exit codes:") && text.contains("varve serve --plaintext"), "{text}");
    for command in ["serve", "produce", "consume", "certs"] {
        let text = help(&[command, "--help"]);
        assert!(text.contains("Examples"), "{text}");
    }
}

/// A store of two batches, of which the first has two records, in a folder of data.
fn site_with_a_store() -> (Site, String) {
    let site = Site::new();
    let server = site.serve();
    let produce = |input: &[u8]| {
        run(site.client("root", &server.address, &["produce"]), input).done();
    };
    produce(b"one\n");
    produce(b"two\n");
    server.signal(rustix::process::Signal::TERM);
    server.wait();
    let store = site.data().into_iter().map(|(path, ..)| path);
    let store = store.into_iter().find(|path| path.extension().is_some_and(|end| end == "store"));
    let store = std::path::Path::new(&site.folder()).join(store.unwrap());
    (site, store.to_string_lossy().into_owned())
}

#[test]
fn a_store_file_is_printed_and_checked_without_a_server() {
    let (site, store) = site_with_a_store();
    let dump = |flags: &[&str], path: &str| run(varve([&["dump", path], flags].concat()), b"");
    assert_eq!(dump(&[], &store).done(), b"one\ntwo\n");
    let json = String::from_utf8(dump(&["--json"], &store).done()).unwrap();
    let lines: Vec<&str> = json.lines().collect();
    for (line, (offset, value)) in lines.iter().zip([(0, "one"), (1, "two")]) {
        let ends =
            (format!("{{\"offset\":{offset},\"time\":\"20"), format!("\"value\":\"{value}\"}}"));
        assert!(line.starts_with(&ends.0) && line.ends_with(&ends.1), "{line}");
    }
    assert_eq!(lines.len(), 2);
    let headers = String::from_utf8(dump(&["--headers"], &store).done()).unwrap();
    let first = headers.lines().next().unwrap();
    assert!(first.starts_with("position=128 offset=0 records=1 append_time_us="), "{headers}");
    let verified = String::from_utf8(dump(&["--verify"], &store).done()).unwrap();
    let parts = ["offsets 0 up to but not including 2, 2 batches, not sealed, every byte checked"];
    assert!(parts.iter().all(|part| verified.contains(part)), "{verified}");

    let mut bytes = std::fs::read(&store).unwrap();
    bytes[128 + 88] ^= 1;
    let damaged = site.path("damaged.store");
    std::fs::write(&damaged, &bytes).unwrap();
    for flags in [&["--verify"][..], &["--headers"], &[]] {
        let outcome = dump(flags, &damaged);
        let parts = ["damaged at position 128, from offset 0", "is damaged; damaged places: 1"];
        outcome.refused(65, &parts);
    }
    assert_eq!(dump(&[], &damaged).stdout, b"two\n", "what follows is readable");
    site.write("no.store", "x");
    dump(&[], &site.path("no.store")).refused(65, &["no store file"]);
    dump(&[], &site.path("absent.store")).refused(74, &["absent.store"]);
}
