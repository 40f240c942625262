//! Values that are each valid, and together are not, or are not what was meant.

use super::held::{Held, default_text};
use super::table;
use super::typed::{MemoryPolicy, Settings};
use super::warning::{Concern, Warning};

/// What to say about the settings together.
///
/// # Errors
/// A sentence when the server could not do anything with them.
pub(super) fn check(settings: &Settings, held: &Held) -> Result<Vec<Warning>, String> {
    let tcp = settings.port != 0 && !settings.bind.is_empty();
    if !tcp && settings.unixsocket.is_none() {
        return Err(
            "There is nothing to listen on: port is 0 or bind is empty, and unixsocket is not set".to_owned()
        );
    }
    let mut warnings = Vec::new();
    let mut warn = |concern, about, text: String| warnings.push(Warning::new(concern, about, text));

    let open = settings.bind.iter().find(|address| !address.is_loopback());
    if let (true, false, None, Some(address)) = (tcp, settings.protected_mode, &settings.requirepass, open) {
        let text = format!(
            "Everybody who can reach {} can read and write all data: protected-mode is no and there is no password. \
             Set requirepass, or bind to a loopback address",
            address.host
        );
        warn(Concern::Security, "protected-mode", text);
    }
    if held.text("appendonly") == "no" {
        let text = "appendonly no is taken as appendfsync no: a failure of the machine may lose acknowledged writes. \
                    Remove the line to have each write on disk before its reply";
        warn(Concern::Durability, "appendonly", text.to_owned());
    }
    if table::find("save").is_some_and(|save| held.text("save") != default_text(save)) {
        let text = "save has no effect: KVDB writes its data as it comes, with a schedule and without one; appendfsync says \
                    when it is safe";
        warn(Concern::Compatibility, "save", text.to_owned());
    }
    if settings.maxmemory.is_none() && settings.maxmemory_policy != MemoryPolicy::Tiered {
        let text = format!(
            "maxmemory-policy {} has no effect while maxmemory is 0",
            settings.maxmemory_policy.as_str()
        );
        warn(Concern::NoEffect, "maxmemory-policy", text);
    }
    if held.text("tls-port") != "0" {
        let text = "tls-port is set, and nobody listens there: this build does not serve TLS";
        warn(Concern::Security, "tls-port", text.to_owned());
    }
    Ok(warnings)
}
