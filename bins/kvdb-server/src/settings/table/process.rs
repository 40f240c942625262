//! The process, its supervisor, and directives that only a configuration file has.

use super::{Kind, Setting, UNUSED};

const ON_SIGNAL: &str = "a signal always shuts down in order, with everything on disk";

pub(super) const SETTINGS: &[Setting] = &[
    Setting::new(
        "include",
        Kind::Directive,
        "",
        "Read another configuration file at this place; what comes later wins. Relative paths count from where \
         the server was started.",
    )
    .fixed(),
    Setting::accepted(
        "pidfile",
        Kind::Text,
        "",
        "systemd and containers know the process by themselves",
    )
    .fixed(),
    Setting::accepted(
        "daemonize",
        Kind::Bool,
        "no",
        "KVDB stays in the foreground; let systemd or a container run it",
    )
    .fixed(),
    Setting::accepted(
        "supervised",
        Kind::Enum(&["upstart", "systemd", "auto", "no"]),
        "no",
        UNUSED,
    )
    .fixed(),
    Setting::accepted("set-proc-title", Kind::Bool, "yes", UNUSED).fixed(),
    Setting::accepted(
        "proc-title-template",
        Kind::Text,
        "{title} {listen-addr} {server-mode}",
        UNUSED,
    ),
    Setting::accepted("oom-score-adj", Kind::Enum(&["no", "yes", "relative", "absolute"]), "no", OOM),
    Setting::accepted("oom-score-adj-values", Kind::OomScores, "0 200 800", OOM),
    Setting::accepted("disable-thp", Kind::Bool, "yes", UNUSED).fixed(),
    Setting::accepted("locale-collate", Kind::Text, "", UNUSED),
    Setting::accepted("ignore-warnings", Kind::Text, "", "no warning of KVDB stops the start"),
    Setting::accepted("shutdown-on-sigint", SHUTDOWN, "default", ON_SIGNAL),
    Setting::accepted("shutdown-on-sigterm", SHUTDOWN, "default", ON_SIGNAL),
    Setting::refused("loadmodule", Kind::Directive, "", "KVDB has no modules"),
];

const OOM: &str = "the score is left as the system has it; set OOMScoreAdjust= in the unit";

const SHUTDOWN: Kind = Kind::Enum(&["default", "save", "nosave", "now", "force"]);
