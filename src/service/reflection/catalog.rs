//! What the interface of this server consists of: its files, and which of them declares what.
//!
//! It is made from the descriptors that `build.rs` leaves in the program, so nothing of the
//! interface can be forgotten here.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use protobuf::Message as _;
use protobuf::descriptor::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};

use crate::proto;

/// Files with their declarations; it never changes.
#[derive(Debug)]
pub(super) struct Catalog {
    /// By their names; each file is followed by all that it imports, also through others.
    files: HashMap<String, Vec<Bytes>>,
    /// By their full names.
    declared: HashMap<String, Declared>,
    /// The services' full names in alphabetical order.
    services: Vec<String>,
}

/// Something that has a full name.
#[derive(Debug)]
struct Declared {
    file: Arc<str>,
    is_message: bool,
}

impl Catalog {
    /// The interface of this program.
    pub(super) fn ours() -> Self {
        let set = FileDescriptorSet::parse_from_bytes(proto::DESCRIPTORS);
        Self::of(&set.expect("build.rs writes a set of descriptors"))
    }

    fn of(set: &FileDescriptorSet) -> Self {
        let mut declared = HashMap::new();
        let mut services = Vec::new();
        for file in &set.file {
            let mut declarations = Declarations { file: file.name().into(), found: &mut declared };
            declarations.add_file(file);
            services.extend(file.service.iter().map(|s| full_name(file.package(), s.name())));
        }
        services.sort();
        let by_name: HashMap<&str, &FileDescriptorProto> =
            set.file.iter().map(|file| (file.name(), file)).collect();
        let files = by_name.keys().map(|name| ((*name).to_owned(), with_imports(name, &by_name)));
        Self { files: files.collect(), declared, services }
    }

    /// The file called `name`, as a descriptor, and after it all that it imports.
    pub(super) fn file(&self, name: &str) -> Option<&[Bytes]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// The file that declares `full_name`, as [`Self::file`] returns it.
    pub(super) fn file_that_declares(&self, full_name: &str) -> Option<&[Bytes]> {
        self.declared.get(full_name).and_then(|declared| self.file(&declared.file))
    }

    /// Whether `full_name` is that of a message.
    pub(super) fn has_message(&self, full_name: &str) -> bool {
        self.declared.get(full_name).is_some_and(|declared| declared.is_message)
    }

    pub(super) fn services(&self) -> &[String] {
        &self.services
    }
}

fn with_imports(name: &str, files: &HashMap<&str, &FileDescriptorProto>) -> Vec<Bytes> {
    let mut wanted = vec![name];
    let mut met = 0;
    while let Some(file) = wanted.get(met).and_then(|name| files.get(name)) {
        for import in &file.dependency {
            if !wanted.contains(&import.as_str()) {
                wanted.push(import);
            }
        }
        met += 1;
    }
    let encode = |file: &&FileDescriptorProto| {
        Bytes::from(file.write_to_bytes().expect("what was read can be written"))
    };
    wanted.iter().filter_map(|name| files.get(name)).map(encode).collect()
}

/// Collects what one file declares.
struct Declarations<'a> {
    file: Arc<str>,
    found: &'a mut HashMap<String, Declared>,
}

impl Declarations<'_> {
    fn add_file(&mut self, file: &FileDescriptorProto) {
        for message in &file.message_type {
            self.add_message(file.package(), message);
        }
        for enumeration in &file.enum_type {
            self.add_enum(file.package(), enumeration);
        }
        for service in &file.service {
            self.add_service(file.package(), service);
        }
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = full_name(scope, message.name());
        for field in &message.field {
            self.add(full_name(&name, field.name()), false);
        }
        for oneof in &message.oneof_decl {
            self.add(full_name(&name, oneof.name()), false);
        }
        for enumeration in &message.enum_type {
            self.add_enum(&name, enumeration);
        }
        for nested in &message.nested_type {
            self.add_message(&name, nested);
        }
        self.add(name, true);
    }

    fn add_enum(&mut self, scope: &str, enumeration: &EnumDescriptorProto) {
        self.add(full_name(scope, enumeration.name()), false);
        // An enum's values are named beside it, not below it.
        for value in &enumeration.value {
            self.add(full_name(scope, value.name()), false);
        }
    }

    fn add_service(&mut self, scope: &str, service: &ServiceDescriptorProto) {
        let name = full_name(scope, service.name());
        for method in &service.method {
            self.add(full_name(&name, method.name()), false);
        }
        self.add(name, false);
    }

    fn add(&mut self, full_name: String, is_message: bool) {
        let file = Arc::clone(&self.file);
        self.found.insert(full_name, Declared { file, is_message });
    }
}

fn full_name(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::service::methods;

    fn set() -> FileDescriptorSet {
        FileDescriptorSet::parse_from_bytes(proto::DESCRIPTORS).unwrap()
    }

    fn names(files: Option<&[Bytes]>) -> Vec<String> {
        let name = |file: &Bytes| FileDescriptorProto::parse_from_bytes(file).unwrap().take_name();
        files.unwrap().iter().map(name).collect()
    }

    #[test]
    fn the_services_are_those_of_the_method_table() {
        let mapped: BTreeSet<&str> = methods::services().collect();
        let listed = Catalog::ours();
        assert_eq!(listed.services(), Vec::from_iter(mapped));
    }

    #[test]
    fn every_kind_of_name_leads_to_its_file() {
        let catalog = Catalog::ours();
        for (full_name, file) in [
            ("log.v1.Log", "log/v1/log.proto"),
            ("log.v1.Log.ProduceStream", "log/v1/log.proto"),
            ("varve.v1.Record", "varve/v1/record.proto"),
            ("varve.v1.ProduceRequest.expected_offset", "varve/v1/log_service.proto"),
            ("varve.v1.DURABILITY_SYNCED", "varve/v1/log_service.proto"),
            ("varve.v1.ConsumeRequest.start", "varve/v1/log_service.proto"),
            ("grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"),
            ("grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"),
            ("google.protobuf.Duration", "google/protobuf/duration.proto"),
        ] {
            let found = catalog.file_that_declares(full_name);
            assert_eq!(names(found)[0], file, "{full_name}");
        }
        for absent in ["", "log.v1", "log.v1.Log.", ".log.v1.Log", "log.v1.log"] {
            assert_eq!(catalog.file_that_declares(absent), None, "{absent}");
        }
    }

    #[test]
    fn a_file_comes_first_and_once_and_all_that_it_imports_after_it() {
        let catalog = Catalog::ours();
        for file in &set().file {
            let sent = names(catalog.file(file.name()));
            assert_eq!(sent[0], file.name());
            assert_eq!(sent.len(), sent.iter().collect::<BTreeSet<_>>().len(), "{sent:?}");
            for name in &sent {
                let imports = &set().file.into_iter().find(|f| f.name() == name).unwrap();
                for import in &imports.dependency {
                    assert!(sent.contains(import), "{name} imports {import}: {sent:?}");
                }
            }
        }
        assert!(catalog.file("log/v1/Log.proto").is_none());
    }

    #[test]
    fn only_messages_are_messages() {
        let catalog = Catalog::ours();
        assert!(catalog.has_message("varve.v1.Record"));
        for other in ["log.v1.Log", "varve.v1.DURABILITY_SYNCED", "varve.v1.Record.value", "x"] {
            assert!(!catalog.has_message(other), "{other}");
        }
    }

    /// Clients refuse a file in which the oneof that stands for an optional field comes before a
    /// real one, and the parser makes them in the order of the text.
    #[test]
    fn optional_fields_stand_behind_the_oneofs_of_their_message() {
        for file in &set().file {
            for message in &file.message_type {
                let of_optional = |oneof: usize| {
                    let is_it = |place: i32| usize::try_from(place).unwrap() == oneof;
                    let held = |f: &&protobuf::descriptor::FieldDescriptorProto| {
                        f.oneof_index.is_some_and(is_it)
                    };
                    message.field.iter().find(held).unwrap().proto3_optional()
                };
                let optional = (0..message.oneof_decl.len()).map(of_optional);
                assert!(optional.is_sorted(), "{}: {}", file.name(), message.name());
            }
        }
    }

    /// Otherwise requests for extensions would have to find them.
    #[test]
    fn nothing_is_extended() {
        for file in &set().file {
            assert!(file.extension.is_empty(), "{}", file.name());
            assert!(file.message_type.iter().all(|message| message.extension.is_empty()));
        }
    }
}
