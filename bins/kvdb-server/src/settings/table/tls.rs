//! Redis' TLS settings.

use super::{INT_MAX, Kind, Setting, number};

const NO_TLS: &str = "this build does not serve TLS; put a TLS proxy in front";

pub(super) const SETTINGS: &[Setting] = &[
    Setting::accepted("tls-port", number(0, 65_535), "0", NO_TLS).fixed(),
    Setting::accepted("tls-cert-file", Kind::Text, "", NO_TLS).fixed(),
    Setting::accepted("tls-key-file", Kind::Text, "", NO_TLS).fixed(),
    Setting::accepted("tls-key-file-pass", Kind::Secret, "", NO_TLS).fixed(),
    Setting::accepted("tls-client-cert-file", Kind::Text, "", NO_TLS).fixed(),
    Setting::accepted("tls-client-key-file", Kind::Text, "", NO_TLS).fixed(),
    Setting::accepted("tls-client-key-file-pass", Kind::Secret, "", NO_TLS).fixed(),
    Setting::accepted("tls-dh-params-file", Kind::Text, "", NO_TLS).fixed(),
    Setting::accepted("tls-ca-cert-file", Kind::Text, "", NO_TLS).fixed(),
    Setting::accepted("tls-ca-cert-dir", Kind::Text, "", NO_TLS).fixed(),
    Setting::accepted("tls-auth-clients", Kind::Enum(&["no", "yes", "optional"]), "yes", NO_TLS).fixed(),
    Setting::accepted("tls-replication", Kind::Bool, "no", NO_TLS).fixed(),
    Setting::accepted("tls-cluster", Kind::Bool, "no", NO_TLS).fixed(),
    Setting::accepted("tls-protocols", Kind::Text, "", NO_TLS).fixed(),
    Setting::accepted("tls-ciphers", Kind::Text, "", NO_TLS).fixed(),
    Setting::accepted("tls-ciphersuites", Kind::Text, "", NO_TLS).fixed(),
    Setting::accepted("tls-prefer-server-ciphers", Kind::Bool, "no", NO_TLS).fixed(),
    Setting::accepted("tls-session-caching", Kind::Bool, "yes", NO_TLS).fixed(),
    Setting::accepted("tls-session-cache-size", number(0, INT_MAX), "20480", NO_TLS).fixed(),
    Setting::accepted("tls-session-cache-timeout", number(0, INT_MAX), "300", NO_TLS).fixed(),
];
