//! What names a call: an id, and the trace that it belongs to.
//!
//! A client may name a call itself with the header `x-request-id`, and say with `traceparent` which
//! trace it belongs to (W3C Trace Context, level 1). Both come back with the answer, the trace with
//! the span that this server was in it, and both stand in every line of the log about the call. A
//! call without an id gets one when it comes; text is made of it only if somebody has to read it.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use grpcio::{Metadata, MetadataBuilder};

use super::event::Fields;

const REQUEST_ID: &str = "x-request-id";
const TRACE_PARENT: &str = "traceparent";
/// A longer id is not taken.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Two digits, 32, 16 and two, with a hyphen between.
const TRACE_PARENT_BYTES: usize = 55;

/// Where the numbers of calls begin, another place after each start.
static FIRST: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(REQUEST_ID));
static CALLS: AtomicU64 = AtomicU64::new(0);

/// The names of one call.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    number: u64,
    /// Most clients send nothing.
    sent: Option<Arc<Sent>>,
}

/// What the client said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    request_id: Option<String>,
    trace: Option<Trace>,
}

/// A trace, and the client's span in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trace {
    /// 32 hex digits.
    pub(super) id: String,
    /// 16 hex digits.
    pub(super) parent: String,
    /// Two hex digits, of which the last bit says that the client records the trace.
    flags: String,
}

impl Tag {
    /// The next call's, of which `headers` tell what its client said. What is malformed is as if it
    /// had not been sent.
    pub(crate) fn of<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut sent = Sent::default();
        for (key, value) in headers {
            match key {
                REQUEST_ID => sent.request_id = request_id(value),
                TRACE_PARENT => sent.trace = trace(value),
                _ => {}
            }
        }
        let sent = (sent != Sent::default()).then(|| Arc::new(sent));
        Self { number: FIRST.wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed)), sent }
    }

    /// The next call's, of which its client said nothing.
    pub(crate) fn unsaid() -> Self {
        Self::of(std::iter::empty())
    }

    /// The client's own id, or 16 hex digits.
    pub(crate) fn request_id(&self) -> String {
        let own = self.sent.as_ref().and_then(|sent| sent.request_id.clone());
        own.unwrap_or_else(|| format!("{:016x}", self.number))
    }

    /// What a line of the log says about the call.
    pub(crate) fn fields(&self) -> Fields {
        let mut fields = vec![("request_id", self.request_id())];
        if let Some(trace) = self.trace() {
            fields.push(("trace_id", trace.id.clone()));
            fields.push(("parent_id", trace.parent.clone()));
            fields.push(("span_id", self.span()));
        }
        fields
    }

    /// What goes back to a client that named its call; `None` to one that did not.
    pub(crate) fn headers(&self) -> Option<Metadata> {
        let sent = self.sent.as_ref()?;
        let mut headers = MetadataBuilder::with_capacity(2);
        // What came as a header goes as one.
        if let Some(id) = &sent.request_id {
            let _ = headers.add_str(REQUEST_ID, id);
        }
        if let Some(Trace { id, flags, .. }) = &sent.trace {
            let _ = headers.add_str(TRACE_PARENT, &format!("00-{id}-{}-{flags}", self.span()));
        }
        Some(headers.build())
    }

    fn trace(&self) -> Option<&Trace> {
        self.sent.as_ref()?.trace.as_ref()
    }

    /// The trace, if its client records it.
    pub(super) fn sampled(&self) -> Option<&Trace> {
        let is_odd = |digit: char| digit.to_digit(16).is_some_and(|digit| digit % 2 == 1);
        self.trace().filter(|trace| trace.flags.ends_with(is_odd))
    }

    /// This call as a span: its number, which no other call of this server has, and which is not
    /// zero, because zero is no span.
    pub(super) fn span(&self) -> String {
        format!("{:016x}", self.number.max(1))
    }
}

fn request_id(value: &[u8]) -> Option<String> {
    let is_plain = value.iter().all(u8::is_ascii_graphic);
    let is_id = is_plain && (1..=REQUEST_ID_BYTES_MAX).contains(&value.len());
    is_id.then(|| String::from_utf8_lossy(value).into_owned())
}

/// A later version may have more behind what this one has.
fn trace(value: &[u8]) -> Option<Trace> {
    let text = std::str::from_utf8(value).ok()?;
    let (known, more) = text.split_at_checked(TRACE_PARENT_BYTES)?;
    let mut parts = known.split('-');
    let mut hex = |digits: usize| {
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        parts.next().filter(|part| part.len() == digits && part.chars().all(is_hex))
    };
    let (version, id, parent, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let is_whole = more.is_empty() || (version != "00" && more.starts_with('-'));
    let means_something = |hex: &str| hex.contains(|digit| digit != '0');
    let is_valid = version != "ff" && is_whole && means_something(id) && means_something(parent);
    is_valid.then(|| Trace {
        id: id.to_owned(),
        parent: parent.to_owned(),
        flags: flags.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(headers: &[(&str, &str)]) -> Tag {
        Tag::of(headers.iter().map(|(key, value)| (*key, value.as_bytes())))
    }

    fn sent_back(tag: &Tag) -> Vec<(String, String)> {
        let headers = tag.headers();
        let pairs = headers.iter().flat_map(Metadata::iter);
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        pairs.map(|(key, value)| (key.to_owned(), text(value))).collect()
    }

    #[test]
    fn a_call_that_says_nothing_has_an_id_of_its_own() {
        let (first, second) = (of(&[]), of(&[("user-agent", "x")]));
        assert_eq!(first.request_id().len(), 16);
        assert_ne!(first.request_id(), second.request_id());
        assert_eq!(first.fields(), [("request_id", first.request_id())]);
        assert_eq!(sent_back(&first), []);
    }

    #[test]
    fn what_the_client_said_is_told_and_goes_back() {
        let tag = of(&[("x-request-id", "order-7"), ("traceparent", PARENT)]);
        let told: Vec<String> = tag.fields().into_iter().map(|(_, value)| value).collect();
        let span = told[3].clone();
        assert_eq!(tag.sampled().map(|trace| trace.parent.as_str()), Some("00f067aa0ba902b7"));
        let unsampled = PARENT.replace("-01", "-02");
        assert_eq!(of(&[("traceparent", &unsampled)]).sampled(), None);
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(told[..3], ["order-7", trace, "00f067aa0ba902b7"]);
        let parent = format!("00-{trace}-{span}-01");
        let back = [("x-request-id", "order-7"), ("traceparent", &parent)];
        assert_eq!(sent_back(&tag), back.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn what_is_malformed_is_as_if_it_had_not_been_sent() {
        let long = "x".repeat(REQUEST_ID_BYTES_MAX + 1);
        for id in ["", "a b", "a\n", "\u{fc}", &long] {
            assert_eq!(request_id(id.as_bytes()), None, "{id:?}");
        }
        let zero = |from: usize, to: usize| {
            let mut text = PARENT.to_owned();
            text.replace_range(from..to, &"0".repeat(to - from));
            text
        };
        let upper = PARENT.to_uppercase();
        let wrong = ["", "00", &PARENT[1..], &format!("{PARENT}-01"), &upper, &zero(3, 35)];
        for text in wrong.into_iter().chain([zero(36, 52).as_str(), &format!("ff{}", &PARENT[2..])])
        {
            assert_eq!(trace(text.as_bytes()), None, "{text:?}");
        }
        assert!(trace(PARENT.as_bytes()).is_some());
        assert!(trace(format!("01{}-more", &PARENT[2..]).as_bytes()).is_some(), "a later version");
    }
}
