//! What a manual page tells that the definitions of the command line do not have.

/// Where a page stands in the manual: what a server does is for administrators.
pub(super) fn section(page: &str) -> &'static str {
    if page == "varve-serve" { "8" } else { "1" }
}

/// A file or a variable, and what it is.
pub(super) type Fact = (&'static str, &'static str);

const CONFIGURATION: Fact =
    ("/etc/varve/varve.toml", "The configuration, unless another is named; see varve.toml(5).");
const BY_HAND: Fact = ("./data", "The folder of the logs, unless another is named.");
const SERVER: [Fact; 5] = [
    CONFIGURATION,
    ("/etc/varve/acl.csv", "Where the sample of the configuration has the access control list."),
    ("/var/lib/varve", "The folder of the logs of the service."),
    ("./data", "That of a server that is run by hand, unless another is named."),
    ("LOCK", "In the folder of the logs: who holds its lock owns the folder."),
];

/// The files that a command reads or writes without being told.
pub(super) fn files(page: &str) -> &'static [Fact] {
    match page {
        "varve-serve" => &SERVER,
        "varve-config-check" | "varve-doctor" => &[CONFIGURATION],
        "varve-verify" | "varve-repair" => &[BY_HAND],
        _ => &[],
    }
}

const STATE_DIRECTORY: Fact =
    ("STATE_DIRECTORY", "From systemd: the folder of the logs if the configuration names none.");
const OF_SERVER: [Fact; 8] = [
    (
        "VARVE_LOG",
        "The level of the log: error, warn, info, debug or trace, or by module as in \
         `info,varve::log=debug`.",
    ),
    STATE_DIRECTORY,
    ("CREDENTIALS_DIRECTORY", "From systemd: files in it may be readable by the service alone."),
    ("NOTIFY_SOCKET", "From systemd, which is told when the server is ready, reloads or stops."),
    ("LISTEN_FDS", "From systemd: how many sockets it has opened for the server."),
    ("LISTEN_PID", "From systemd: the process that they are for."),
    (
        "LISTEN_FDNAMES",
        "From systemd: what they are called; the one called metrics is for metrics.",
    ),
    ("JOURNAL_STREAM", "From systemd: if standard error is the journal, lines have its levels."),
];
const OF_PAGES: [Fact; 1] =
    [("SOURCE_DATE_EPOCH", "The date of the pages, in seconds since 1970; they have none else.")];

/// The variables that a command reads beside those that stand for a flag.
pub(super) fn variables(page: &str) -> &'static [Fact] {
    match page {
        "varve-serve" => &OF_SERVER,
        "varve-config-check" | "varve-doctor" => &[STATE_DIRECTORY],
        "varve-man" => &OF_PAGES,
        _ => &[],
    }
}

/// The pages to read next, beside those about commands above and below.
pub(super) fn related(page: &str) -> &'static [&'static str] {
    match page {
        "varve" => &["varve.toml(5)"],
        "varve-serve" => &["varve.toml(5)", "varve-config-check(1)", "varve-certs(1)"],
        "varve-config-check" => &["varve.toml(5)", "varve-serve(8)"],
        "varve-produce" => &["varve-consume(1)", "varve-log(1)"],
        "varve-consume" => &["varve-produce(1)", "varve-reader(1)"],
        "varve-reader" => &["varve-consume(1)"],
        "varve-log" | "varve-info" => &["varve-serve(8)"],
        "varve-verify" => &["varve-repair(1)", "varve-dump(1)"],
        "varve-repair" | "varve-dump" => &["varve-verify(1)"],
        "varve-acl-check" => &["varve-serve(8)"],
        "varve-doctor" => &["varve-serve(8)", "varve-config-check(1)", "varve-verify(1)"],
        "varve-backup" => &["varve-restore(1)", "varve-verify(1)"],
        "varve-restore" => &["varve-backup(1)", "varve-verify(1)"],
        "varve.toml" => &["varve-serve(8)", "varve-config-check(1)", "varve-acl-check(1)"],
        _ => &[],
    }
}
