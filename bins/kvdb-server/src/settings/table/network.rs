//! Listening sockets, connections and who may connect.

use super::{INT_MAX, Kind, Setting, UNUSED, number, seconds};

pub(super) const SETTINGS: &[Setting] = &[
    Setting::new(
        "bind",
        Kind::Bind,
        "127.0.0.1 -::1",
        "The addresses to listen on, separated by spaces; * is any IPv4 address, ::* any IPv6 address. \
         An address with a leading - may be missing on this machine. An empty value turns TCP off.",
    ),
    Setting::new("port", number(0, 65_535), "6379", "The TCP port; 0 turns TCP off."),
    Setting::new(
        "unixsocket",
        Kind::Text,
        "",
        "The path of a Unix socket to listen on as well; empty for none.",
    )
    .fixed(),
    Setting::new(
        "unixsocketperm",
        Kind::Octal,
        "0",
        "The permission bits of the Unix socket, in octal; 0 leaves them to the umask.",
    )
    .fixed(),
    Setting::new(
        "protected-mode",
        Kind::Bool,
        "yes",
        "Without a password, serve only clients of this machine: others are told why and closed.",
    ),
    Setting::new(
        "requirepass",
        Kind::Secret,
        "",
        "The password that clients must give with AUTH or HELLO; empty for none. Better given as a file, \
         KVDB_REQUIREPASS_FILE=/path, than here: a configuration is copied and mailed about.",
    ),
    Setting::new(
        "maxclients",
        number(1, u32::MAX as i64),
        "10000",
        "Connections beyond this number are refused with an error.",
    ),
    Setting::new(
        "timeout",
        seconds(0),
        "0",
        "Close a client that was idle for so many seconds; 0 never does.",
    ),
    Setting::new(
        "tcp-keepalive",
        seconds(0),
        "300",
        "Seconds of silence after which the kernel probes a connection; 0 turns the probes off.",
    ),
    Setting::new(
        "tcp-backlog",
        number(0, INT_MAX),
        "511",
        "Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn.",
    )
    .fixed(),
    Setting::new(
        "databases",
        number(1, 16_384),
        "16",
        "The number of databases that SELECT can reach, counted from 0.",
    )
    .fixed(),
    Setting::new(
        "enable-debug-command",
        Kind::Enum(&["no", "yes", "local"]),
        "no",
        "Who may use DEBUG: nobody, everybody, or clients of this machine.",
    )
    .fixed(),
    Setting::new(
        "compat-redis-version",
        Kind::Version,
        "7.2.4",
        "The version of Redis that INFO and HELLO report, which clients read to learn what they may use.",
    )
    .fixed(),
    Setting::accepted(
        "enable-protected-configs",
        Kind::Enum(&["no", "yes", "local"]),
        "no",
        "KVDB has no setting that only some clients may change",
    )
    .fixed(),
    Setting::accepted(
        "enable-module-command",
        Kind::Enum(&["no", "yes", "local"]),
        "no",
        "KVDB has no modules",
    )
    .fixed(),
    Setting::accepted("bind-source-addr", Kind::Text, "", UNUSED),
    Setting::accepted("socket-mark-id", number(0, u32::MAX as i64), "0", UNUSED).fixed(),
    Setting::new(
        "acllog-max-len",
        number(0, i64::MAX),
        "128",
        "How many entries ACL LOG keeps; the oldest are forgotten.",
    ),
    Setting::new(
        "acl-pubsub-default",
        Kind::Enum(&["allchannels", "resetchannels"]),
        "resetchannels",
        "The channels that a new user may use: all, or none.",
    ),
    Setting::new(
        "aclfile",
        Kind::Text,
        "",
        "The path of a file of users, one a line as in ACL LIST, that ACL LOAD reads and ACL SAVE writes; empty for none.",
    )
    .fixed(),
    Setting::new("user", Kind::Directive, "", "A user: its name, and the rules of ACL SETUSER.").fixed(),
    Setting::refused("rename-command", Kind::Directive, "", "commands cannot be renamed or removed"),
];
