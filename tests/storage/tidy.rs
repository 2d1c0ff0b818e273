//! House style that a machine can check: sizes, headers, floors, and where `unsafe` may stand.

use std::path::{Path, PathBuf};

/// Lines of a file before its tests.
const FILE_LINES_MAX: usize = 500;
const LINE_WIDTH_MAX: usize = 100;
/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 60;
/// The files that may say `unsafe`, each with its argument beside it.
const MAY_BE_UNSAFE: [&str; 6] = [
    "src/log/disk/os.rs",
    "src/server/backlog.rs",
    "src/cli/environment.rs",
    "src/cli/doctor/kernel_clock.rs",
    "src/cli/serve/allocator.rs",
    "src/cli/serve/fatal.rs",
];

fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(below)];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned(), text));
        }
    }
    assert!(!found.is_empty());
    found
}

fn all_sources() -> Vec<(PathBuf, String)> {
    ["src", "tests"].into_iter().flat_map(sources).collect()
}

fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

#[test]
fn every_file_opens_with_its_purpose() {
    for (path, text) in all_sources() {
        assert!(text.starts_with("//! "), "{path:?}");
    }
}

#[test]
fn lines_files_and_functions_keep_their_sizes() {
    for (path, text) in all_sources() {
        for (n, line) in text.lines().enumerate() {
            assert!(line.chars().count() <= LINE_WIDTH_MAX, "{path:?}:{}", n + 1);
        }
        let lines = before_tests(&text).lines().count();
        let is_test = path.iter().any(|part| part == "tests" || part == "tests.rs");
        assert!(is_test || lines <= FILE_LINES_MAX, "{path:?} has {lines} lines before its tests");
        let mut began: Option<(usize, usize)> = None;
        for (n, line) in before_tests(&text).lines().enumerate().filter(|_| !is_test) {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let opens = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn "];
            if opens.iter().any(|start| code.starts_with(start)) {
                began = Some((n, indent));
            }
            if let Some((first, depth)) = began.filter(|(_, depth)| code == "}" && *depth == indent)
            {
                let _ = depth;
                assert!(n - first < FUNCTION_LINES_MAX, "{path:?}:{} is too long", first + 1);
                began = None;
            }
        }
    }
}

#[test]
fn unsafe_code_stands_in_the_named_files_alone() {
    for (path, text) in sources("src") {
        let named = MAY_BE_UNSAFE.iter().any(|allowed| path == Path::new(allowed));
        assert!(named || !text.contains("unsafe {"), "{path:?}");
    }
}

#[test]
fn storage_and_the_access_list_know_nothing_of_the_wire() {
    for (path, text) in [sources("src/log"), sources("src/acl")].concat() {
        for above in
            ["grpcio", "protobuf::", "openssl", "prometheus", "crate::server", "crate::service"]
        {
            assert!(!text.contains(above), "{path:?} names {above}");
        }
    }
    for (path, text) in sources("src/acl") {
        assert!(!before_tests(&text).contains("crate::log"), "{path:?} imports the log");
    }
}

/// The floors of the whole, lowest first.
const MODULES: [&[&str]; 7] = [
    &["fail_points", "histogram", "line_limit", "own", "small_file", "sync"],
    &["log", "acl"],
    &["tls", "certs"],
    &["proto", "service"],
    &["server", "ops"],
    &["config"],
    &["cli", "main", "lib"],
];

#[test]
fn a_module_imports_only_from_floors_at_or_below_its_own() {
    let floor = |module: &str| MODULES.iter().position(|floor| floor.contains(&module));
    for (path, text) in sources("src") {
        let inside = path.strip_prefix("src").unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = module.trim_end_matches(".rs");
        let own = floor(module).unwrap_or_else(|| panic!("{module} has no floor"));
        for behind in before_tests(&text).split("use crate::").skip(1) {
            let name = behind.split([':', ';', '{']).next().unwrap();
            if let Some(other) = floor(name) {
                assert!(other <= own, "{path:?} (floor {own}) imports {name} (floor {other})");
            }
        }
    }
}

/// The floors of `src/log`, lowest first, as its `mod.rs` lists them.
const FLOORS: [&[&str]; 6] = [
    &[
        "offset", "producer", "error", "codec", "width", "names", "clock", "settings", "latency",
        "pace", "parallel", "busy", "progress",
    ],
    &["disk", "seed", "frame", "reached", "store_header", "footer"],
    &["lock", "copies", "store", "scan", "prefix", "index", "fill", "watermark", "group"],
    &[
        "chunk",
        "files",
        "segment",
        "times",
        "producers",
        "intake",
        "active",
        "checkpoint",
        "lines",
        "meta",
        "age",
        "readers",
        "trash",
        "archive",
        "archived",
        "retention",
        "counters",
    ],
    &["recovery", "verify", "glance"],
    &[
        "restore",
        "engine",
        "scrub",
        "writer",
        "prepared",
        "commit_log",
        "flusher",
        "housekeeper",
        "logs",
        "floors",
    ],
];

#[test]
fn a_file_imports_only_from_floors_at_or_below_its_own() {
    let floor = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    for (path, text) in sources("src/log") {
        let inside = path.strip_prefix("src/log").unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = module.trim_end_matches(".rs");
        if module == "mod" {
            continue;
        }
        let own = floor(module).unwrap_or_else(|| panic!("{module} has no floor"));
        for line in before_tests(&text).lines().map(str::trim) {
            let imported = line.strip_prefix("use crate::log::").or_else(|| {
                line.strip_prefix("use super::").filter(|_| inside.components().count() == 1)
            });
            let Some(name) = imported.map(|rest| rest.split([':', ';', '{']).next().unwrap())
            else {
                continue;
            };
            // What recovery hands to a log and the engine it works in are defined on the top floor.
            let shared = own == 4 && name == "engine";
            if let Some(other) = floor(name).filter(|_| !shared) {
                assert!(other <= own, "{path:?} (floor {own}) imports {name} (floor {other})");
            }
        }
    }
}
