//! Generates the messages and service stubs from `proto/`, without `protoc`.
//!
//! Two generators work from one parse: `protobuf-codegen` writes the messages, `grpcio-compiler`
//! the services. The latter reads descriptors of protobuf 2, so they cross as bytes. The same
//! descriptors are what the server tells about itself. Without the `server` feature there is
//! nothing to do.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    #[cfg(feature = "server")]
    generate::all()?;
    Ok(())
}

#[cfg(feature = "server")]
mod generate {
    use std::error::Error;
    use std::fmt::Write as _;
    use std::path::PathBuf;
    use std::{env, fs};

    use protobuf::Message as _;
    use protobuf::descriptor::FileDescriptorSet;
    use protobuf2::Message as _;

    /// Every proto of the project, by its path below `proto/`.
    const PROTOS: [&str; 9] = [
        "log/v1/log.proto",
        "varve/v1/record.proto",
        "varve/v1/log_service.proto",
        "varve/v1/readers_service.proto",
        "varve/v1/admin_service.proto",
        "grpc/health/v1/health.proto",
        "grpc/reflection/v1/reflection.proto",
        "google/rpc/status.proto",
        "google/rpc/error_details.proto",
    ];
    /// Those of them that declare a service.
    const SERVICES: [&str; 6] = [
        "log/v1/log.proto",
        "varve/v1/log_service.proto",
        "varve/v1/readers_service.proto",
        "varve/v1/admin_service.proto",
        "grpc/health/v1/health.proto",
        "grpc/reflection/v1/reflection.proto",
    ];
    /// Another name of a service, whose messages are those of the first; nothing is generated.
    const ALIAS: &str = "grpc/reflection/v1alpha/reflection.proto";

    pub(crate) fn all() -> Result<(), Box<dyn Error>> {
        let out = PathBuf::from(env::var("OUT_DIR")?).join("pb");
        messages()?;
        let services = services(&out)?;
        register(&out, &services)
    }

    fn messages() -> Result<(), Box<dyn Error>> {
        protobuf_codegen::Codegen::new()
            .pure()
            .include("proto")
            .inputs(PROTOS.map(|path| format!("proto/{path}")))
            .customize(protobuf_codegen::Customize::default().tokio_bytes(true))
            .cargo_out_dir("pb")
            .run()
            .map_err(Into::into)
    }

    /// Writes the descriptors of all files and a stub file per service, and returns the names of
    /// the stubs' modules.
    fn services(out: &std::path::Path) -> Result<Vec<String>, Box<dyn Error>> {
        let parsed = protobuf_parse::Parser::new()
            .pure()
            .include("proto")
            .inputs(PROTOS.iter().chain([&ALIAS]).map(|path| format!("proto/{path}")))
            .parse_and_typecheck()?;
        // With the files of protobuf's own that ours import.
        let mut set = FileDescriptorSet::new();
        set.file = parsed.file_descriptors;
        let parsed = set.write_to_bytes()?;
        fs::write(out.join("descriptors.bin"), &parsed)?;
        let descriptors = protobuf2::descriptor::FileDescriptorSet::parse_from_bytes(&parsed)?;
        let inputs = SERVICES.map(String::from);
        let mut modules = Vec::new();
        for file in grpcio_compiler::codegen::r#gen(&descriptors.file, &inputs) {
            // The lint was removed from the compiler; naming it would warn.
            let text = String::from_utf8(file.content)?.replace("#![allow(box_pointers)]\n", "");
            fs::write(out.join(&file.name), text)?;
            modules.push(file.name.trim_end_matches(".rs").to_owned());
        }
        Ok(modules)
    }

    fn register(out: &std::path::Path, modules: &[String]) -> Result<(), Box<dyn Error>> {
        let path = out.join("mod.rs");
        let mut text = fs::read_to_string(&path)?;
        for module in modules {
            writeln!(text, "pub mod {module};")?;
        }
        fs::write(path, text)?;
        Ok(())
    }
}
