//! The configuration file: any text is read or refused, and what is read keeps its promises.

#![no_main]

use libfuzzer_sys::fuzz_target;
use varve::config::floors::parse;
use varve_fuzz::counted::compared;
use varve_fuzz::is_one_line;

fuzz_target!(|text: &str| match parse(text) {
    Ok(config) => {
        compared();
        let record_bytes = u64::try_from(config.limits.record_bytes_max).expect("64 bits");
        assert!(record_bytes < config.limits.message_bytes_max.into());
        assert!(record_bytes < config.storage.defaults.batch_bytes_max.into());
        assert!(config.grpc_threads > 0);
        for set in &config.effective {
            assert!(text.contains(last_part(set.key)) || set.origin != varve::config::Origin::File);
        }
    }
    Err(error) => assert!(is_one_line(&error), "{error:?}"),
});

/// A key without its section.
fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}
