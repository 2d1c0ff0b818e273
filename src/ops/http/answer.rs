//! What is answered to a request.

use std::sync::OnceLock;

use openssl::base64;
use openssl::sha::sha256;
use prometheus::TEXT_FORMAT;

use super::host::Hosts;
use super::request::{Fault, Request};
use crate::ops::Ops;

/// The status page, whole.
const PAGE: &str = include_str!("../page.html");
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// An answer, to be sent as it is.
#[derive(Debug)]
pub(super) struct Answer {
    /// The code with its phrase.
    status: &'static str,
    kind: &'static str,
    body: String,
    /// Whether only the head goes out, which tells of the body all the same.
    is_head: bool,
}

/// Answers `request`.
pub(super) fn to(request: &Request, hosts: &Hosts, ops: &Ops) -> Answer {
    let Some(host) = &request.host else {
        return Answer::text("400 Bad Request", "the request must have one Host header\n");
    };
    if !hosts.admit(host) {
        let text = "this listener answers to localhost and its own address only\n";
        return Answer::text("403 Forbidden", text);
    }
    let is_head = request.method == "HEAD";
    if !is_head && request.method != "GET" {
        return Answer::text("405 Method Not Allowed", "GET and HEAD alone are taken here\n");
    }
    Answer { is_head, ..found(&request.target, ops) }
}

fn found(target: &str, ops: &Ops) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/" => Answer::new("200 OK", HTML, PAGE.to_owned()),
        "/metrics" => Answer::new("200 OK", TEXT_FORMAT, ops.metrics()),
        "/status.json" => Answer::new("200 OK", JSON, ops.status(chosen(query))),
        "/healthz" => {
            let (is_well, text) = ops.health();
            let status = if is_well { "200 OK" } else { "503 Service Unavailable" };
            Answer::new(status, TEXT, text)
        }
        _ => Answer::text("404 Not Found", "there are /, /metrics, /status.json and /healthz\n"),
    }
}

/// The log whose segments are asked for. Names of logs have no character that is escaped.
fn chosen(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("log="))
}

impl Answer {
    fn new(status: &'static str, kind: &'static str, body: String) -> Self {
        Self { status, kind, body, is_head: false }
    }

    fn text(status: &'static str, text: &str) -> Self {
        Self::new(status, TEXT, text.to_owned())
    }

    /// To what could not be read.
    pub(super) fn refusal(fault: Fault) -> Self {
        match fault {
            Fault::Malformed => Self::text("400 Bad Request", "this is no HTTP/1 request\n"),
            Fault::TooLarge => Self::text(
                "431 Request Header Fields Too Large",
                "a request's head may have 8 KiB and 64 headers\n",
            ),
        }
    }

    /// As it goes out.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let Self { status, kind, body, is_head } = self;
        let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status}\r\n\
             Content-Type: {kind}\r\n\
             Content-Length: {}\r\n\
             Connection: close\r\n\
             Cache-Control: no-store\r\n\
             Content-Security-Policy: {}\r\n\
             X-Content-Type-Options: nosniff\r\n\
             X-Frame-Options: DENY\r\n\
             Referrer-Policy: no-referrer\r\n\
             Cross-Origin-Resource-Policy: same-origin\r\n\
             {allow}\r\n",
            body.len(),
            content_policy(),
        );
        let body = if *is_head { "" } else { body };
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

/// Lets the page run its own script and style, known by their digests, ask this listener, and
/// nothing else.
fn content_policy() -> &'static str {
    static POLICY: OnceLock<String> = OnceLock::new();
    POLICY.get_or_init(|| {
        let digest = |tag| base64::encode_block(&sha256(inside(PAGE, tag).as_bytes()));
        format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src \
             'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            digest("script"),
            digest("style"),
        )
    })
}

/// What stands between the first `<tag>` of `page` and its end.
fn inside<'a>(page: &'a str, tag: &str) -> &'a str {
    let behind = page.split_once(&format!("<{tag}>")).map_or("", |(_, behind)| behind);
    behind.split_once(&format!("</{tag}>")).map_or("", |(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_script_and_one_style_and_asks_nobody_else() {
        for tag in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "{tag}");
            assert!(!inside(PAGE, tag).is_empty(), "{tag}");
        }
        for outside in ["https:", "http://", "src=", "@import", "url(", " style=", " onclick="] {
            let found = PAGE.replace("http://www.w3.org/2000/svg", "");
            assert!(!found.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_policy_names_the_digests_of_both() {
        let policy = content_policy();
        assert_eq!(policy.matches("'sha256-").count(), 2);
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
    }

    #[test]
    fn a_head_tells_the_length_and_has_no_body() {
        let answer = Answer { is_head: true, ..Answer::text("200 OK", "four") };
        let bytes = String::from_utf8(answer.bytes()).unwrap();
        assert!(bytes.contains("Content-Length: 4\r\n") && bytes.ends_with("\r\n\r\n"), "{bytes}");
    }

    #[test]
    fn a_chosen_log_stands_in_the_query() {
        assert_eq!(chosen("log=orders.eu"), Some("orders.eu"));
        assert_eq!(chosen("a=b&log=x"), Some("x"));
        assert_eq!(chosen("blog=x"), None);
    }
}
