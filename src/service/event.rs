//! Lines of the server's own log about calls, with the names of the call beside what else they say.

use log::kv::Source;
use log::{Level, Record};

/// What a line says, by name. Numbers are text: those of JSON have 53 bits.
pub(crate) type Fields = Vec<(&'static str, String)>;

/// Writes a line; `module` is who does, by which it can be filtered.
pub(crate) fn write(level: Level, module: &str, event: &str, fields: &Fields) {
    let source: &dyn Source = fields;
    let mut line = Record::builder();
    line.level(level).target(module).key_values(&source);
    log::logger().log(&line.args(format_args!("{event}")).build());
}
