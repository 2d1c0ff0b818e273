//! Reading a request's head, bounded; a body is not read.

use std::io;

use super::patience::Patience;

/// The request line and all headers.
const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// The path with its query.
    pub(super) target: String,
    /// The header `Host`; none if there is none, or more than one.
    pub(super) host: Option<Vec<u8>>,
}

/// Why a request is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Malformed,
    TooLarge,
}

/// Reads a request.
///
/// # Errors
///
/// Those of the connection: nobody is there to be answered.
pub(super) fn read(from: &Patience<'_>) -> io::Result<Result<Request, Fault>> {
    let mut head = Vec::with_capacity(1024);
    let mut taken = [0; 1024];
    loop {
        match parse(&head) {
            Ok(None) if head.len() >= HEAD_BYTES_MAX => return Ok(Err(Fault::TooLarge)),
            Ok(None) => {}
            Ok(Some(request)) => return Ok(Ok(request)),
            Err(fault) => return Ok(Err(fault)),
        }
        match from.read(&mut taken)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => head.extend_from_slice(taken.get(..bytes).unwrap_or_default()),
        }
    }
}

/// The request at the begin of `head`; `None` if it is not whole yet.
fn parse(head: &[u8]) -> Result<Option<Request>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(bytes)) if bytes > HEAD_BYTES_MAX => {
            return Err(Fault::TooLarge);
        }
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::TooLarge),
        Err(_) => return Err(Fault::Malformed),
    }
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
        return Err(Fault::Malformed);
    };
    let is_host = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case("host");
    let mut hosts = parsed.headers.iter().filter(is_host);
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.value.to_vec()),
        _ => None,
    };
    Ok(Some(Request { method: method.to_owned(), target: target.to_owned(), host }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_method_target_and_host() {
        let head = b"GET /status.json?log=a HTTP/1.1\r\nhOsT: localhost\r\nAccept: */*\r\n\r\nrest";
        let request = parse(head).unwrap().unwrap();
        assert_eq!((&*request.method, &*request.target), ("GET", "/status.json?log=a"));
        assert_eq!(request.host.as_deref(), Some(&b"localhost"[..]));
    }

    #[test]
    fn a_head_that_is_not_whole_is_waited_for() {
        for head in ["", "GET", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"] {
            assert_eq!(parse(head.as_bytes()), Ok(None), "{head:?}");
        }
    }

    #[test]
    fn two_hosts_are_none() {
        let head = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n";
        assert_eq!(parse(head).unwrap().unwrap().host, None);
    }

    #[test]
    fn what_is_no_request_is_refused_at_once() {
        for head in
            ["\u{1b}", "GET / HTTP/2.0\r\n", "GET  / HTTP/1.1\r\n", "GET / HTTP/1.1\r\n:\r\n"]
        {
            assert_eq!(parse(head.as_bytes()), Err(Fault::Malformed), "{head:?}");
        }
        let many = "A: b\r\n".repeat(HEADERS_MAX + 1);
        let head = format!("GET / HTTP/1.1\r\n{many}\r\n");
        assert_eq!(parse(head.as_bytes()), Err(Fault::TooLarge));
    }
}
