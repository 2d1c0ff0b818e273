//! A call's messages as bytes, between the C core and our own reading and writing of them.
//!
//! The stock codec would copy each field and answer INTERNAL to whatever it cannot parse; these
//! hand the bytes over as they came and go out.

use std::io::{BufRead as _, Read as _};

use grpcio::{GrpcSlice, Marshaller, MessageReader, Method, MethodType};

/// A request of at most this many bytes is copied: left where it came it would hold on to a whole
/// read buffer of the transport's.
const SMALL_BYTES: usize = 1024;
/// What a larger one may hold on to beyond its own bytes: the buffers of 8 KiB, under TLS, in which
/// it begins and ends.
const BUFFERS_BYTES: usize = 16 * 1024;

/// A request as it came.
pub(crate) enum Request {
    Copied(Vec<u8>),
    Received(MessageReader),
}

/// A reply, encoded.
#[derive(Clone, Debug)]
pub(crate) struct Reply(GrpcSlice);

impl Request {
    fn of(mut reader: MessageReader) -> Self {
        if reader.len() <= SMALL_BYTES {
            Self::Copied(copy(&mut reader))
        } else {
            Self::Received(reader)
        }
    }

    /// The memory that it takes, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Copied(message) => size_of::<Self>() + message.len(),
            Self::Received(reader) => size_of::<Self>() + reader.len() + BUFFERS_BYTES,
        }
    }

    /// The message's bytes: in place if they lie in one piece, else copied together, once for all
    /// who ask.
    pub(crate) fn bytes(&mut self) -> &[u8] {
        if let Self::Received(reader) = self {
            let bytes = reader.len();
            let in_first_piece = reader.fill_buf().is_ok_and(|piece| piece.len() == bytes);
            if !in_first_piece {
                *self = Self::Copied(copy(reader));
            }
        }
        match self {
            Self::Copied(message) => message,
            Self::Received(reader) => reader.fill_buf().unwrap_or_default(),
        }
    }
}

fn copy(reader: &mut MessageReader) -> Vec<u8> {
    let mut whole = Vec::with_capacity(reader.len());
    // The reader walks memory and has no way to fail; were it to, the request would be too short
    // and be refused as such.
    let _read = reader.read_to_end(&mut whole);
    whole
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
        req_mar: Marshaller { ser: |_, _| Err(wrong_way()), de: |reader| Ok(Request::of(reader)) },
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
