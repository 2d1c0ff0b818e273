//! Every method that the server has, and what a caller needs for it.
//!
//! The checker refuses what is not in this table, and a handler gets a permit for no other action
//! than the one that stands here. A test compares it with the services' descriptors.

use crate::acl::Action;

/// What a caller needs for a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A rule that allows this action on the log in question.
    Permission(Action),
    /// A rule that allows this action on `*`.
    Everywhere(Action),
    /// A valid certificate, whoever it names.
    Identity,
}

pub(crate) const PRODUCE: &str = "/log.v1.Log/Produce";
pub(crate) const CONSUME: &str = "/log.v1.Log/Consume";
pub(crate) const CONSUME_STREAM: &str = "/log.v1.Log/ConsumeStream";
pub(crate) const PRODUCE_STREAM: &str = "/log.v1.Log/ProduceStream";
pub(crate) const PRODUCE_BATCH: &str = "/varve.v1.Log/Produce";
pub(crate) const PRODUCE_BATCHES: &str = "/varve.v1.Log/ProduceStream";
pub(crate) const CONSUME_BATCHES: &str = "/varve.v1.Log/Consume";
pub(crate) const CONSUME_BATCHES_STREAM: &str = "/varve.v1.Log/ConsumeStream";
pub(crate) const COMMIT_READER: &str = "/varve.v1.Readers/CommitReader";
pub(crate) const GET_READER: &str = "/varve.v1.Readers/GetReader";
pub(crate) const LIST_READERS: &str = "/varve.v1.Readers/ListReaders";
pub(crate) const DELETE_READER: &str = "/varve.v1.Readers/DeleteReader";
pub(crate) const CREATE_LOG: &str = "/varve.v1.Admin/CreateLog";
pub(crate) const UPDATE_LOG: &str = "/varve.v1.Admin/UpdateLog";
pub(crate) const DELETE_LOG: &str = "/varve.v1.Admin/DeleteLog";
pub(crate) const LIST_LOGS: &str = "/varve.v1.Admin/ListLogs";
pub(crate) const DESCRIBE_LOG: &str = "/varve.v1.Admin/DescribeLog";
pub(crate) const TRIM: &str = "/varve.v1.Admin/Trim";
pub(crate) const BACK_UP: &str = "/varve.v1.Admin/BackUp";
pub(crate) const GET_SERVER_INFO: &str = "/varve.v1.Admin/GetServerInfo";
pub(crate) const REFLECT: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
pub(crate) const REFLECT_ALPHA: &str =
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
pub(crate) const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
pub(crate) const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";

const METHODS: [(&str, Need); 24] = [
    (PRODUCE, Need::Permission(Action::Produce)),
    (CONSUME, Need::Permission(Action::Consume)),
    (CONSUME_STREAM, Need::Permission(Action::Consume)),
    (PRODUCE_STREAM, Need::Permission(Action::Produce)),
    (PRODUCE_BATCH, Need::Permission(Action::Produce)),
    (PRODUCE_BATCHES, Need::Permission(Action::Produce)),
    (CONSUME_BATCHES, Need::Permission(Action::Consume)),
    (CONSUME_BATCHES_STREAM, Need::Permission(Action::Consume)),
    (COMMIT_READER, Need::Permission(Action::Consume)),
    (GET_READER, Need::Permission(Action::Consume)),
    (LIST_READERS, Need::Permission(Action::Consume)),
    (DELETE_READER, Need::Permission(Action::Consume)),
    (CREATE_LOG, Need::Permission(Action::Admin)),
    (UPDATE_LOG, Need::Permission(Action::Admin)),
    (DELETE_LOG, Need::Permission(Action::Admin)),
    // It shows the logs on which the caller may do anything.
    (LIST_LOGS, Need::Identity),
    (DESCRIBE_LOG, Need::Permission(Action::Admin)),
    (TRIM, Need::Permission(Action::Admin)),
    (BACK_UP, Need::Permission(Action::Admin)),
    (GET_SERVER_INFO, Need::Everywhere(Action::Admin)),
    (HEALTH_CHECK, Need::Identity),
    (HEALTH_WATCH, Need::Identity),
    (REFLECT, Need::Identity),
    (REFLECT_ALPHA, Need::Identity),
];

/// What the method at `path` needs; `None` if nobody said.
pub(crate) fn need(path: &[u8]) -> Option<Need> {
    METHODS.iter().find(|(name, _)| name.as_bytes() == path).map(|(_, need)| *need)
}

/// The path of every method.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|(path, _)| *path)
}

/// The full name of the service of each method, so as often as it has methods.
pub(crate) fn services() -> impl Iterator<Item = &'static str> {
    METHODS.iter().filter_map(|(path, _)| path.split('/').nth(1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protobuf::Message as _;
    use protobuf::descriptor::{FileDescriptorProto, FileDescriptorSet};

    use super::*;
    use crate::proto;

    fn paths(file: &FileDescriptorProto) -> Vec<String> {
        let path = |service: &str, method: &str| format!("/{}.{service}/{method}", file.package());
        let of = |service: &protobuf::descriptor::ServiceDescriptorProto| -> Vec<String> {
            service.method.iter().map(|m| path(service.name(), m.name())).collect()
        };
        file.service.iter().flat_map(of).collect()
    }

    #[test]
    fn every_method_of_every_service_is_mapped_and_nothing_else() {
        let files = FileDescriptorSet::parse_from_bytes(proto::DESCRIPTORS).unwrap().file;
        let declared: BTreeSet<String> = files.iter().flat_map(paths).collect();
        let mapped = METHODS.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(declared, mapped);
    }

    #[test]
    fn paths_are_compared_to_the_byte() {
        assert_eq!(need(PRODUCE.as_bytes()), Some(Need::Permission(Action::Produce)));
        for path in ["", "/", "log.v1.Log/Produce", "/log.v1.Log/produce", "/log.v1.Log/Produce/"] {
            assert_eq!(need(path.as_bytes()), None, "{path}");
        }
    }
}
