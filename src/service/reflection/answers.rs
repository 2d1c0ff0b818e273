//! One request about the interface, answered from the catalog.

use bytes::Bytes;
use grpcio::RpcStatusCode;
use protobuf::Message as _;

use super::catalog::Catalog;
use crate::proto::reflection::server_reflection_request::Message_request as Asked;
use crate::proto::reflection::server_reflection_response::Message_response as Answer;
use crate::proto::reflection::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
};
use crate::service::message::Reply;
use crate::service::refusal::{BadRequest, brief};

/// The longest request, far more than names take. A reply repeats its request, and a client that
/// takes none could have the server hold many times what it sent.
const REQUEST_BYTES_MAX: usize = 1024;

/// The reply to the request in `message`. What is not found is a reply too.
pub(super) fn reply(catalog: &Catalog, message: &[u8]) -> Result<Reply, BadRequest> {
    let response = if message.len() > REQUEST_BYTES_MAX {
        // Without the request.
        let what = format!("the request has more than {REQUEST_BYTES_MAX} bytes");
        ServerReflectionResponse {
            message_response: Some(error(RpcStatusCode::INVALID_ARGUMENT, what)),
            ..ServerReflectionResponse::default()
        }
    } else {
        let request = ServerReflectionRequest::parse_from_bytes(message)
            .map_err(|_| BadRequest::Malformed)?;
        ServerReflectionResponse {
            valid_host: request.host.clone(),
            message_response: Some(answer(catalog, request.message_request.as_ref())),
            original_request: Some(request).into(),
            ..ServerReflectionResponse::default()
        }
    };
    let encoded = response.write_to_bytes().expect("a proto3 message far below 2 GiB");
    Ok(Reply::new(encoded))
}

fn answer(catalog: &Catalog, asked: Option<&Asked>) -> Answer {
    match asked {
        Some(Asked::ListServices(_)) => list(catalog),
        Some(Asked::FileByFilename(name)) => files(catalog.file(name), "file", name),
        Some(Asked::FileContainingSymbol(name)) => {
            files(catalog.file_that_declares(name), "symbol", name)
        }
        Some(Asked::FileContainingExtension(_)) => {
            error(RpcStatusCode::NOT_FOUND, "there are no extensions".to_owned())
        }
        Some(Asked::AllExtensionNumbersOfType(name)) if catalog.has_message(name) => {
            let base_type_name = name.clone();
            Answer::AllExtensionNumbersResponse(ExtensionNumberResponse {
                base_type_name,
                ..ExtensionNumberResponse::default()
            })
        }
        Some(Asked::AllExtensionNumbersOfType(name)) => not_found("message", name),
        // Also what a request of a kind that this release does not know looks like.
        None => {
            let what = "message_request is not set, or is not known to this server";
            error(RpcStatusCode::INVALID_ARGUMENT, what.to_owned())
        }
    }
}

fn list(catalog: &Catalog) -> Answer {
    let service = |name: &String| {
        let name = name.clone();
        ServiceResponse { name, ..ServiceResponse::default() }
    };
    let service = catalog.services().iter().map(service).collect();
    Answer::ListServicesResponse(ListServiceResponse { service, ..ListServiceResponse::default() })
}

fn files(found: Option<&[Bytes]>, kind: &str, name: &str) -> Answer {
    let Some(files) = found else {
        return not_found(kind, name);
    };
    let file_descriptor_proto = files.to_vec();
    Answer::FileDescriptorResponse(FileDescriptorResponse {
        file_descriptor_proto,
        ..FileDescriptorResponse::default()
    })
}

fn not_found(kind: &str, name: &str) -> Answer {
    error(RpcStatusCode::NOT_FOUND, format!("there is no {kind} {:?}", brief(name)))
}

fn error(code: RpcStatusCode, error_message: String) -> Answer {
    let error_code = code.into();
    Answer::ErrorResponse(ErrorResponse { error_code, error_message, ..ErrorResponse::default() })
}

#[cfg(test)]
mod tests {
    use protobuf::descriptor::FileDescriptorProto;

    use super::*;
    use crate::proto::reflection::ExtensionRequest;

    /// The answer to `asked`, which must come with the request.
    fn ask(asked: Option<Asked>) -> Answer {
        let request = ServerReflectionRequest {
            host: "here".to_owned(),
            message_request: asked,
            ..ServerReflectionRequest::default()
        };
        let reply = reply(&Catalog::ours(), &request.write_to_bytes().unwrap()).unwrap();
        let response = ServerReflectionResponse::parse_from_bytes(reply.as_bytes()).unwrap();
        assert_eq!(response.original_request.as_ref(), Some(&request));
        assert_eq!(response.valid_host, "here");
        response.message_response.unwrap()
    }

    fn first_file(answer: Answer) -> String {
        let Answer::FileDescriptorResponse(files) = answer else { panic!("{answer:?}") };
        FileDescriptorProto::parse_from_bytes(&files.file_descriptor_proto[0]).unwrap().take_name()
    }

    fn error_code(answer: Answer) -> i32 {
        let Answer::ErrorResponse(error) = answer else { panic!("{answer:?}") };
        assert!(!error.error_message.is_empty());
        error.error_code
    }

    #[test]
    fn services_are_listed_whatever_the_content_is() {
        for content in ["", "*"] {
            let answer = ask(Some(Asked::ListServices(content.to_owned())));
            let Answer::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
            assert!(list.service.iter().any(|service| service.name == "log.v1.Log"));
        }
    }

    #[test]
    fn files_are_found_by_name_and_by_what_they_declare() {
        let name = "log/v1/log.proto";
        assert_eq!(first_file(ask(Some(Asked::FileByFilename(name.to_owned())))), name);
        let symbol = "log.v1.Log.Produce".to_owned();
        assert_eq!(first_file(ask(Some(Asked::FileContainingSymbol(symbol)))), name);
    }

    #[test]
    fn what_there_is_not_is_code_5() {
        let absent = || "no.such.Thing".to_owned();
        let extension = ExtensionRequest { extension_number: 1, ..ExtensionRequest::default() };
        for asked in [
            Asked::FileByFilename(absent()),
            Asked::FileContainingSymbol(absent()),
            Asked::FileContainingExtension(extension),
            Asked::AllExtensionNumbersOfType(absent()),
            Asked::AllExtensionNumbersOfType("log.v1.Log".to_owned()),
        ] {
            assert_eq!(error_code(ask(Some(asked.clone()))), 5, "{asked:?}");
        }
    }

    #[test]
    fn a_message_has_no_extensions() {
        let name = "log.v1.Record".to_owned();
        let answer = ask(Some(Asked::AllExtensionNumbersOfType(name.clone())));
        let Answer::AllExtensionNumbersResponse(numbers) = answer else { panic!("{answer:?}") };
        assert_eq!((numbers.base_type_name, numbers.extension_number), (name, vec![]));
    }

    #[test]
    fn a_request_for_nothing_is_code_3() {
        assert_eq!(error_code(ask(None)), 3);
    }

    /// The text had five bytes for each of the name, and the name came back twice more.
    #[test]
    fn a_reply_to_what_is_not_found_is_little_larger_than_the_request() {
        let asked = |name_bytes| ServerReflectionRequest {
            message_request: Some(Asked::FileByFilename("\u{1}".repeat(name_bytes))),
            ..ServerReflectionRequest::default()
        };
        let reply = |name_bytes| {
            let message = asked(name_bytes).write_to_bytes().unwrap();
            reply(&Catalog::ours(), &message).unwrap()
        };
        let longest = reply(1000);
        assert!(longest.len() < 3 * REQUEST_BYTES_MAX, "{} bytes", longest.len());
        let response = ServerReflectionResponse::parse_from_bytes(longest.as_bytes()).unwrap();
        assert_eq!(response.original_request.as_ref(), Some(&asked(1000)));
        assert_eq!(error_code(response.message_response.unwrap()), 5);
        let refused = reply(4 << 20);
        assert!(refused.len() < 100, "{} bytes", refused.len());
        let response = ServerReflectionResponse::parse_from_bytes(refused.as_bytes()).unwrap();
        assert!(response.original_request.is_none());
        assert_eq!(error_code(response.message_response.unwrap()), 3);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(reply(&Catalog::ours(), b"\xff").unwrap_err(), BadRequest::Malformed);
    }
}
