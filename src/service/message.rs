//! A call's messages as bytes, between the C core and our own reading and writing of them.
//!
//! The stock codec would copy each field and answer INTERNAL to whatever it cannot parse; these
//! hand the bytes over as they came and go out.

use std::borrow::Cow;
use std::io::{BufRead as _, Read as _};

use grpcio::{GrpcSlice, Marshaller, MessageReader, Method, MethodType};

/// A request as it came.
pub(crate) struct Request(MessageReader);

/// A reply, encoded.
#[derive(Clone, Debug)]
pub(crate) struct Reply(GrpcSlice);

impl Request {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The message's bytes: in place if they lie in one piece, else copied together.
    pub(crate) fn bytes(&mut self) -> Cow<'_, [u8]> {
        let bytes = self.0.len();
        let in_first_piece = self.0.fill_buf().is_ok_and(|piece| piece.len() == bytes);
        if in_first_piece {
            return self.0.fill_buf().map(Cow::Borrowed).unwrap_or_default();
        }
        let mut whole = Vec::with_capacity(bytes);
        // The reader walks memory and has no way to fail; were it to, the request would be too
        // short and be refused as such.
        let _read = self.0.read_to_end(&mut whole);
        Cow::Owned(whole)
    }
}

impl Reply {
    /// Takes an encoded message; it is not copied if the vector has no room to spare.
    pub(crate) fn new(message: Vec<u8>) -> Self {
        Self(GrpcSlice::from(message))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// A method whose messages are left to us.
pub(crate) const fn method(name: &'static str, ty: MethodType) -> Method<Request, Reply> {
    Method {
        ty,
        name,
        // A server only reads requests and writes replies.
        req_mar: Marshaller { ser: |_, _| Err(wrong_way()), de: |reader| Ok(Request(reader)) },
        resp_mar: Marshaller {
            ser: |reply, slice| {
                *slice = reply.0.clone();
                Ok(())
            },
            de: |_| Err(wrong_way()),
        },
    }
}

fn wrong_way() -> grpcio::Error {
    grpcio::Error::Codec("a server neither writes requests nor reads replies".into())
}
