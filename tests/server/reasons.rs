//! That each reason of the manual stands in a test here, as one that it expects.
//!
//! The tests' texts are searched, without their comments. That a test which names a reason also
//! meets it is for that test to check.

use std::path::Path;

/// Reasons that no client can bring about, with why.
const OUT_OF_REACH: [(&str, &str); 1] =
    [("NOT_ADMITTED", "only a fault of the server lets a call come past its checks")];

/// The texts of these tests without their comments, but for this one.
fn tests_below(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = entries.filter(|path| path.file_name() != Path::new(file!()).file_name());
    let texts = texts.map(|path| match path.is_dir() {
        true => tests_below(&path),
        false => vec![without_comments(&std::fs::read_to_string(path).unwrap())],
    });
    texts.flatten().collect()
}

/// A comment begins a line or stands behind a blank, which no text with `//` in it does here.
fn without_comments(text: &str) -> String {
    let code = |line: &str| match line.trim_start().starts_with("//") {
        true => String::new(),
        false => line.split(" // ").next().unwrap().to_owned(),
    };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_reason_of_the_manual_is_expected_by_a_test_through_the_wire() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = std::fs::read_to_string(root.join("docs/ERRORS.md")).unwrap();
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `"));
    let reasons: Vec<_> = rows.map(|row| row.split('`').next().unwrap()).collect();
    assert!(reasons.len() > 40, "the manual's table has another form: {reasons:?}");
    let tests = tests_below(&root.join("tests/server"));
    assert_eq!(without_comments("a(\"A\"); // \"B\"\n    // \"C\"\nb();"), "a(\"A\");\n\nb();");
    let is_expected =
        |reason: &str| tests.iter().any(|test| test.contains(&format!("\"{reason}\"")));
    for reason in &reasons {
        let out_of_reach = OUT_OF_REACH.iter().find(|(known, _)| known == reason);
        match out_of_reach {
            Some((_, why)) => assert!(!is_expected(reason), "{reason} is in a test, though {why}"),
            None => assert!(is_expected(reason), "no test expects {reason}"),
        }
    }
}
