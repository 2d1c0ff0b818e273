//! The configuration as a whole: what is refused and how, what wins, and that the documents list
//! what is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Config, ConfigError, Effective, Origin, Overrides, Security};

const BASE: &str = "\
[acl]
file = \"acl.csv\"
[tls]
cert = \"server.pem\"
key = \"server-key.pem\"
client_ca = \"/ca.pem\"
";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Some(Path::new("/etc/v/c.toml")), text, &Overrides::default(), None)
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn effective<'a>(config: &'a Config, key: &str) -> &'a Effective {
    config.effective.iter().find(|effective| effective.key == key).unwrap()
}

#[test]
fn little_need_be_set() {
    let config = parse(BASE).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8400");
    assert_eq!(config.data_dir, Path::new("data"));
    assert_eq!(config.acl, Path::new("/etc/v/acl.csv"));
    let Security::MutualTls(tls) = &config.security else { panic!("{:?}", config.security) };
    assert_eq!(tls.cert, Path::new("/etc/v/server.pem"));
    assert_eq!(tls.client_ca, Path::new("/ca.pem"));
    assert_eq!(effective(&config, "tls.cert").origin, Origin::File);
    assert_eq!(effective(&config, "log.segment_bytes_max").value, "128MiB");
}

#[test]
fn values_are_read_in_their_units() {
    let text = format!(
        "listen = \"[::1]:0\"\n{BASE}[log]\nsegment_bytes_max = \"1GiB\"\nindex_bytes_max = 1_200\n\
         segment_age_max = \"7d\"\n[storage]\nsync_delay_max = \"50ms\"\nstrict = true\n\
         [limits]\nstreams_max = 0x10\n[grpc]\nlegacy_404 = true\n"
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.listen.to_string(), "[::1]:0");
    assert_eq!(config.storage.defaults.segment_bytes_max, 1 << 30);
    assert_eq!(config.storage.defaults.index_bytes_max, 1200);
    assert_eq!(config.storage.defaults.segment_age_max, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(config.storage.sync_delay_max, Duration::from_millis(50));
    assert!(config.storage.strict && config.legacy_404);
    assert_eq!(config.limits.streams_max, 16);
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_service() {
    let flags = Overrides {
        listen: Some("127.0.0.1:1".to_owned()),
        cert: Some(PathBuf::from("mine.pem")),
        ..Overrides::default()
    };
    let text = format!("data_dir = \"d\"\n{BASE}");
    let service = Some(Path::new("/var/lib/varve"));
    let config = Config::parse(Some(Path::new("/etc/v/c.toml")), &text, &flags, service).unwrap();
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.data_dir, Path::new("/etc/v/d"));
    let Security::MutualTls(tls) = &config.security else { panic!("{:?}", config.security) };
    assert_eq!(tls.cert, Path::new("mine.pem"));
    assert_eq!(effective(&config, "tls.cert").origin, Origin::Flag);

    let config = Config::parse(None, BASE, &flags, service).unwrap();
    assert_eq!(config.data_dir, Path::new("/var/lib/varve"));
    assert_eq!(effective(&config, "data_dir").origin, Origin::Service);
}

#[test]
fn mistakes_name_file_line_key_and_remedy() {
    let table = [
        ("lisen = 1", "/etc/v/c.toml:1: unknown key \"lisen\": did you mean listen?"),
        (
            "\n\n[log]\nsegment_byte_max = 1",
            "/etc/v/c.toml:4: unknown key \"log.segment_byte_max\": did you mean \
             log.segment_bytes_max?",
        ),
        ("[colours]\nred = 1", "/etc/v/c.toml:1: unknown section [colours]"),
        ("[logs]", "/etc/v/c.toml:1: unknown section [logs]: did you mean [log]?"),
        ("[storage.deep]\nx = 1", "/etc/v/c.toml:1: unknown key \"storage.deep\""),
        (
            "log = 7",
            "/etc/v/c.toml:1: log is a section: write [log] on a line of its own, and its keys \
             below",
        ),
        (
            "[storage]\nflushers = 0",
            "/etc/v/c.toml:2: storage.flushers is 0, and should be from 1 to 256",
        ),
        (
            "[storage]\nflushers = -9223372036854775808",
            "/etc/v/c.toml:2: storage.flushers is -9223372036854775808, and should be from 1 to \
             256",
        ),
        (
            "[storage]\nflushers = \"4\"",
            "/etc/v/c.toml:2: storage.flushers is \"4\", and should be a whole number such as 4",
        ),
        (
            "[log]\nsegment_bytes_max = \"5GiB\"",
            "/etc/v/c.toml:2: log.segment_bytes_max is \"5GiB\", and should be from 4KiB to 4GiB",
        ),
        (
            "[log]\nbatch_bytes_max = 4294967296",
            "/etc/v/c.toml:2: log.batch_bytes_max is 4294967296, and should be from 1B to 64MiB",
        ),
        (
            "[storage]\nsync_delay_max = 100",
            "/etc/v/c.toml:2: storage.sync_delay_max is 100, and should be text with us, ms, s, m, \
             h or d such as \"100ms\"",
        ),
        (
            "[storage]\nsync_delay_max = \"2h\"",
            "/etc/v/c.toml:2: storage.sync_delay_max is \"2h\", and should be from 1ms to 1m",
        ),
        (
            "listen = \"localhost:8400\"",
            "/etc/v/c.toml:1: listen is \"localhost:8400\", and should be an IP address and a port \
             such as \"127.0.0.1:8400\" or \"[::1]:8400\"",
        ),
        // What a message shows steers no terminal, also where the parser takes it for a number.
        (
            "[storage]\nflushers = 84_8\\\u{b}\\0",
            "/etc/v/c.toml:2: storage.flushers is 848\\\\\\u{b}\\\\0, and should be a whole number \
             such as 4",
        ),
        (
            "[tls]\ncert = \"\"",
            "/etc/v/c.toml:2: tls.cert is \"\", and should be a path such as \
             \"/etc/varve/server.pem\"",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_toml_names_its_line() {
    let refusal = refusal("listen = \"a\"\nlisten = \"b\"\n");
    assert!(refusal.starts_with("/etc/v/c.toml:2: not valid TOML: "), "{refusal}");
    assert!(!refusal.contains('\n'), "{refusal}");
}

#[test]
fn a_server_without_certificates_or_list_is_refused() {
    let files = "[tls]\ncert = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\n";
    assert_eq!(
        refusal(files),
        "no access control list is set: give --acl, or set acl.file in the configuration file"
    );
    for key in ["cert", "key", "client_ca"] {
        let text: String = BASE
            .lines()
            .filter(|line| !line.starts_with(key))
            .fold(String::new(), |text, line| text + line + "\n");
        let refusal = refusal(&text);
        assert!(refusal.contains(&format!("tls.{key} in")), "{refusal}");
    }
}

#[test]
fn plaintext_stays_on_this_host_and_excludes_certificates() {
    let plaintext = "[acl]\nfile = \"a\"\n[insecure]\nplaintext = true\n";
    let config = parse(plaintext).unwrap();
    let Security::Plaintext { subject } = config.security else { panic!("{:?}", config.security) };
    assert_eq!(subject.as_str(), "anonymous");
    assert_eq!(
        refusal(&format!("listen = \"0.0.0.0:8400\"\n{plaintext}")),
        "a plaintext server may listen on a loopback address only, and 0.0.0.0:8400 is none"
    );
    assert_eq!(
        refusal(&format!("{BASE}[insecure]\nplaintext = true\n")),
        "both insecure.plaintext and tls.cert are set: remove one of them"
    );
    let refusal = refusal(&format!("{plaintext}subject = \"\"\n"));
    assert!(refusal.contains("insecure.subject is \"\""), "{refusal}");
}

#[test]
fn metrics_stay_on_this_host_unless_told_twice() {
    let listen = |text: &str| parse(&format!("{BASE}[metrics]\n{text}\n"));
    assert_eq!(parse(BASE).unwrap().metrics.listen, Some(([127, 0, 0, 1], 8401).into()));
    assert_eq!(listen("listen = \"off\"").unwrap().metrics.listen, None);
    assert!(listen("listen = \"[::1]:0\"").is_ok());
    let told_once = listen("listen = \"0.0.0.0:8401\"").unwrap_err().to_string();
    assert!(told_once.starts_with("metrics.listen is 0.0.0.0:8401, which other"), "{told_once}");
    let told_twice = listen("listen = \"0.0.0.0:8401\"\npublic = true").unwrap();
    assert_eq!(told_twice.metrics.listen, Some(([0, 0, 0, 0], 8401).into()));
    assert_eq!(
        refusal(&format!("{BASE}[metrics]\nlisten = \"on\"\n")),
        "/etc/v/c.toml:8: metrics.listen is \"on\", and should be \"off\", or an IP address and a \
         port such as \"127.0.0.1:8401\""
    );
}

#[test]
fn a_record_fits_the_message_and_the_batch_that_carry_it() {
    assert_eq!(
        refusal(&format!("{BASE}[limits]\nrecord_bytes_max = \"4MiB\"\n")),
        "limits.record_bytes_max is 4MiB and limits.message_bytes_max is 4MiB: raise the latter to \
         at least 4097KiB"
    );
    assert_eq!(
        refusal(&format!("{BASE}[log]\nbatch_bytes_max = \"1MiB\"\n")),
        "limits.record_bytes_max is 1MiB and log.batch_bytes_max is 1MiB: raise the latter to at \
         least 1025KiB"
    );
}

#[test]
fn archiving_needs_a_directory() {
    assert_eq!(
        refusal(&format!("{BASE}[log]\narchive = true\n")),
        "log.archive is true, and storage.archive_directory is not set"
    );
    let text = format!(
        "{BASE}[log]\narchive = true\nretention_bytes = \"1GiB\"\nretention_age = \"7d\"\n\
         [storage]\narchive_directory = \"a\"\n"
    );
    let storage = parse(&text).unwrap().storage;
    assert_eq!(storage.archive.as_deref(), Some(Path::new("/etc/v/a")));
    assert_eq!(storage.defaults.retention_bytes, Some(1 << 30));
    assert_eq!(storage.defaults.retention_age, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(storage.defaults.retain_for_readers_bytes, None);
}

/// Keys that have no default, or one that is not the same everywhere.
fn depends_on_the_host(key: &str) -> bool {
    key.starts_with("tls.")
        || ["acl.file", "data_dir", "grpc.threads", "storage.archive_directory"].contains(&key)
}

/// The sample shows every key at its default behind a `#`; without the signs it is a valid file.
#[test]
fn the_sample_lists_every_key_with_its_default() {
    let sample = fs::read_to_string("scripts/varve.toml").unwrap();
    let uncommented: String = sample
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    let sample = parse(&uncommented).unwrap();
    let bare = parse(BASE).unwrap();
    for Effective { key, value, origin } in &sample.effective {
        assert_eq!(*origin, Origin::File, "{key} is not in the sample");
        if !depends_on_the_host(key) {
            assert_eq!(value, &effective(&bare, key).value, "the sample's {key} is no default");
        }
    }
}

#[test]
fn the_manual_lists_every_key_with_its_default() {
    let manual = fs::read_to_string("docs/OPERATIONS.md").unwrap();
    for Effective { key, value, .. } in &parse(BASE).unwrap().effective {
        let row = manual.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
        let row = row.unwrap_or_else(|| panic!("{key} is not in the manual"));
        if !depends_on_the_host(key) {
            assert!(row.contains(&format!("| `{value}` |")), "the manual's {key} is not {value}");
        }
    }
}
