//! Every error text that a command replies with, in Redis' wording.

use std::borrow::Cow;
use std::fmt;

use kvdb_store::WrongType;

use crate::acl::{Reason, RuleError};

/// An error reply: code, space, sentence. Never contains CR or LF by itself; the encoder replaces those of arguments.
/// Arguments that it quotes need not be text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError(Cow<'static, [u8]>);

/// What a handler returns: its reply has been written, or this error is to be.
pub type CmdResult = Result<(), CommandError>;

impl CommandError {
    /// A fixed text.
    pub const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }

    /// A composed text.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self(Cow::Owned(text.into()))
    }

    /// The text, code first.
    pub fn text(&self) -> &[u8] {
        &self.0
    }

    /// The code: the first word.
    pub fn code(&self) -> &str {
        let word = self.0.split(|&byte| byte == b' ').next();
        word.and_then(|word| str::from_utf8(word).ok()).unwrap_or("ERR")
    }
}

impl From<WrongType> for CommandError {
    fn from(_: WrongType) -> Self {
        WRONG_TYPE
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: CommandError = CommandError::fixed($text);)*
    };
}

fixed! {
    /// The key holds a value of another type.
    WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
    /// The reply would be longer than what may wait for a client.
    REPLY_TOO_LONG = "ERR the reply is longer than client-output-buffer-limit allows";
    /// An argument is not a 64-bit integer.
    NOT_INTEGER = "ERR value is not an integer or out of range";
    /// An argument or a value is not a number.
    NOT_FLOAT = "ERR value is not a valid float";
    /// The arguments do not follow the command's grammar.
    SYNTAX = "ERR syntax error";
    /// The sum does not fit 64 bits.
    OVERFLOW = "ERR increment or decrement would overflow";
    /// The sum is not a number that can be stored.
    NAN_OR_INFINITY = "ERR increment would produce NaN or Infinity";
    /// The key is not there and has to be.
    NO_SUCH_KEY = "ERR no such key";
    /// A negative offset, or one that is too large.
    OFFSET_OUT_OF_RANGE = "ERR offset is out of range";
    /// A bit offset that cannot be.
    BIT_OFFSET = "ERR bit offset is not an integer or out of range";
    /// The value would be longer than a value may be.
    STRING_TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    /// A key that is longer than keys may be.
    KEY_TOO_LONG = "ERR the key exceeds the maximum allowed size of 1048576 bytes";
    /// A part of a value with a longer name than they may have.
    NAME_TOO_LONG = "ERR a field, member, group or consumer exceeds the maximum allowed size of 1048576 bytes";
    /// More would have to be written at once than can be.
    CHANGE_TOO_LARGE = "ERR the change exceeds the maximum allowed size of 1073741824 bytes";
    /// A checkpoint that was asked for as a save is running.
    SAVE_RUNS = "ERR Background save already in progress";
    /// A checkpoint that was asked for as a rewrite of the log is running.
    REWRITE_RUNS = "ERR Background append only file rewriting already in progress";
    /// As before, and a save was asked for that is not to wait.
    REWRITE_STANDS_IN_THE_WAY = "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.";
    /// A database number that is not one.
    DB_INDEX = "ERR DB index is out of range";
    /// A number that has to be positive is not.
    NOT_POSITIVE = "ERR value is out of range, must be positive";
    /// A SCAN cursor that is no number.
    INVALID_CURSOR = "ERR invalid cursor";
    /// The client has not authenticated.
    NO_AUTH = "NOAUTH Authentication required.";
    /// Wrong user or password.
    WRONG_PASS = "WRONGPASS invalid username-password pair or user is disabled.";
    /// Never seen by a client: a key has to be loaded first (see `WriteCx::require`).
    NEEDS_LOAD = "ERR the key is being loaded";
    /// A script runs for longer than others should wait.
    BUSY_SCRIPT = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    /// A function runs for longer than others should wait.
    BUSY_FUNCTION = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    /// EXEC of a transaction of which a command was refused.
    EXEC_ABORT = "EXECABORT Transaction discarded because of previous errors.";
    /// EXEC while a script has run for too long.
    EXEC_ABORT_BUSY = "EXECABORT Transaction discarded because of: BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    /// EXEC while a function has run for too long.
    EXEC_ABORT_BUSY_FUNCTION = "EXECABORT Transaction discarded because of: BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    /// A command that makes memory grow, and there is no room.
    OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'.";
    /// EXEC and no MULTI before.
    EXEC_WITHOUT_MULTI = "ERR EXEC without MULTI";
    /// A command that cannot be queued.
    NOT_IN_TRANSACTION = "ERR Command not allowed inside a transaction";
    /// More is queued than may be.
    TRANSACTION_TOO_LARGE = "ERR the queued commands exceed the maximum allowed size of a transaction";
    /// HELLO asks for a protocol that does not exist.
    NO_PROTO = "NOPROTO unsupported protocol version";
}

fixed! {
    /// AUTH with a password alone, although none is set.
    AUTH_WITHOUT_PASSWORD = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?";
    /// An integer that is wanted in 32 bits.
    NOT_32_BITS = "ERR value is out of range, value must between -2147483648 and 2147483647";
    /// ACL DELUSER of `default`.
    DEFAULT_USER_STAYS = "ERR The 'default' user cannot be removed";
    /// ACL GENPASS of too many bits, or none.
    PASSWORD_BITS = "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096";
    /// A name that could not be written down.
    USER_NAME = "ERR Usernames can't contain spaces or null characters";
    /// ACL LOAD or SAVE without an `aclfile`.
    NO_ACL_FILE = "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.";
    /// HELLO before authentication and without AUTH.
    HELLO_NO_AUTH = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
    /// The protocol asked for by HELLO is no number.
    PROTOCOL_VERSION = "ERR Protocol version is not an integer or out of range";
    /// A name that would break the lines of CLIENT LIST.
    CLIENT_NAME = "ERR Client names cannot contain spaces, newlines or special characters.";
    /// CLIENT LIST ID with something that is no id.
    INVALID_CLIENT_ID = "ERR Invalid client ID";
    /// CLIENT KILL ID with something that is no id.
    CLIENT_ID_NOT_POSITIVE = "ERR client-id should be greater than 0";
    /// CLIENT KILL MAXAGE with something that is no age.
    MAX_AGE = "ERR maxage is not an integer or out of range";
    /// CLIENT KILL MAXAGE 0.
    MAX_AGE_NOT_POSITIVE = "ERR maxage should be greater than 0";
    /// CLIENT KILL addr:port, and nobody is there.
    NO_SUCH_CLIENT = "ERR No such client";
    /// CLIENT PAUSE with another word than WRITE or ALL.
    PAUSE_MODE = "ERR CLIENT PAUSE mode must be WRITE or ALL";
    /// CLIENT UNBLOCK with another word than TIMEOUT or ERROR.
    UNBLOCK_REASON = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
    /// COMMAND GETKEYS of a command that does not exist.
    INVALID_COMMAND = "ERR Invalid command specified";
    /// COMMAND GETKEYS of a command that takes no keys.
    NO_KEY_ARGUMENTS = "ERR The command has no key arguments";
    /// COMMAND GETKEYS of a command with too few or too many arguments.
    INVALID_NUMBER_OF_ARGUMENTS = "ERR Invalid number of arguments specified for command";
    /// SLOWLOG GET of fewer than none.
    SLOWLOG_COUNT = "ERR count should be greater than or equal to -1";
    /// DEBUG where the settings do not allow it.
    DEBUG_NOT_ALLOWED = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.";
    /// DEBUG PROTOCOL of a type that does not exist.
    DEBUG_PROTOCOL_TYPE = "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false";
    /// A reply that RESP2 cannot express.
    RESP3_ONLY = "ERR RESP2 is not supported by this command";
    /// A value and where it would be put are the same key of the same database.
    SAME_OBJECT = "ERR source and destination objects are the same";
    /// A number that is meant to be small needs more than 32 bits.
    NOT_INT32 = "ERR value is out of range, value must between -2147483648 and 2147483647";
    /// SWAPDB with a first argument that is no number.
    FIRST_DB_INDEX = "ERR invalid first DB index";
    /// SWAPDB with a second argument that is no number.
    SECOND_DB_INDEX = "ERR invalid second DB index";
    /// OBJECT FREQ; use is not counted.
    NOT_LFU = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
    /// OBJECT IDLETIME; uses are counted, the last is not remembered.
    LFU = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
    /// EXPIRE with conditions of which one excludes the others.
    EXPIRE_NX_AND_OTHERS = "ERR NX and XX, GT or LT options at the same time are not compatible";
    /// EXPIRE with two conditions that exclude each other.
    EXPIRE_GT_AND_LT = "ERR GT and LT options at the same time are not compatible";
    /// RESTORE to a key that is there.
    BUSY_KEY = "BUSYKEY Target key name already exists.";
    /// RESTORE with a negative time to live.
    INVALID_TTL = "ERR Invalid TTL value, must be >= 0";
    /// RESTORE with a negative idle time.
    INVALID_IDLETIME = "ERR Invalid IDLETIME value, must be >= 0";
    /// RESTORE with a frequency that is not one byte.
    INVALID_FREQ = "ERR Invalid FREQ value, must be >= 0 and <= 255";
}

/// An unknown command, with the beginning of its arguments, as Redis quotes them: so many bytes, and of a name or an
/// argument nothing from a zero byte on.
pub fn unknown_command(name: &[u8], args: kvdb_resp::Args<'_>) -> CommandError {
    let mut quoted = Vec::new();
    for arg in args.iter().skip(1) {
        if quoted.len() >= ECHO {
            break;
        }
        let arg = beginning(arg, ECHO - quoted.len());
        quoted.extend_from_slice(&[b"'", arg, b"' "].concat());
    }
    let name = beginning(name, ECHO);
    CommandError::new([b"ERR unknown command '", name, b"', with args beginning with: ", &quoted].concat())
}

/// The bytes that an error repeats of a name or of arguments.
const ECHO: usize = 128;

/// So many bytes of a text, up to the first that is zero.
fn beginning(text: &[u8], most: usize) -> &[u8] {
    let text = &text[..text.len().min(most)];
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// A container command with a subcommand that it does not have.
pub fn unknown_subcommand(container: &str, name: &[u8]) -> CommandError {
    let (name, container) = (beginning(name, ECHO), container.to_ascii_uppercase());
    CommandError::new(
        [b"ERR unknown subcommand '", name, b"'. Try ", container.as_bytes(), b" HELP."].concat(),
    )
}

/// Too few or too many arguments. `full_name` is `get`, or `client|list` for a subcommand.
pub fn wrong_arity(full_name: &str) -> CommandError {
    CommandError::new(format!("ERR wrong number of arguments for '{full_name}' command"))
}

/// EXEC that is refused for this reason itself: it ends the transaction all the same.
pub fn exec_abort(reason: &CommandError) -> CommandError {
    let text = reason.text().strip_prefix(b"ERR ").unwrap_or(reason.text());
    CommandError::new([b"EXECABORT Transaction discarded because of: ", text].concat())
}

/// An expiry that is not positive or does not fit.
pub fn invalid_expire(command: &str) -> CommandError {
    CommandError::new(format!("ERR invalid expire time in '{command}' command"))
}

/// Argument bytes made fit to stand in a one-line reply.
pub fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A command of Redis that KVDB does not have, and what to do in its place.
pub fn not_supported(command: &str, instead: &str) -> CommandError {
    CommandError::new(format!("ERR {command} is not supported by KVDB: {instead}"))
}

/// An option of HELLO that it does not have, or whose argument is missing.
pub fn hello_option(option: &[u8]) -> CommandError {
    CommandError::new(format!("ERR Syntax error in HELLO option '{}'", printable(option)))
}

/// A kind of clients that there is not.
pub fn unknown_client_type(kind: &[u8]) -> CommandError {
    CommandError::new(format!("ERR Unknown client type '{}'", printable(kind)))
}

/// A user that there is not.
pub fn no_such_user(user: &[u8]) -> CommandError {
    CommandError::new(format!("ERR No such user '{}'", printable(user)))
}

/// CLIENT SETINFO of something else than the library's name and version.
pub fn unrecognized_option(option: &[u8]) -> CommandError {
    CommandError::new(format!("ERR Unrecognized option '{}'", printable(option)))
}

/// CLIENT SETINFO with a value that would break the lines of CLIENT LIST.
pub fn client_info_value(attribute: &[u8]) -> CommandError {
    let attribute = printable(attribute);
    CommandError::new(format!("ERR {attribute} cannot contain spaces, newlines or special characters."))
}

/// A subcommand that there is not, or not with so many arguments.
pub fn subcommand_syntax(container: &str, name: &[u8]) -> CommandError {
    let name = printable(&name[..name.len().min(128)]);
    CommandError::new(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try {container} HELP."
    ))
}

/// A command that a RESP2 client with subscriptions may not run.
pub fn only_listens(name: &str) -> CommandError {
    CommandError::new(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    ))
}

/// A word that the command does not know in this place.
pub fn unknown_argument(word: &[u8]) -> CommandError {
    CommandError::new(format!("ERR unknown argument: {}", printable(&word[..word.len().min(128)])))
}

/// CLIENT TRACKING with a prefix that begins with another one, or the other way round.
pub fn prefix_overlaps(prefix: &[u8], whose: &str, other: &[u8]) -> CommandError {
    let (prefix, other) = (printable(prefix), printable(other));
    CommandError::new(format!(
        "ERR Prefix '{prefix}' overlaps with {whose} prefix '{other}'. Prefixes for a single client must not overlap."
    ))
}

/// An option that EXPIRE does not have.
pub fn unsupported_option(option: &[u8]) -> CommandError {
    CommandError::new(format!("ERR Unsupported option {}", printable(option)))
}

/// SORT by or of keys that are not among its arguments, by a user who may not read all.
pub fn sort_denied(option: &str) -> CommandError {
    CommandError::new(format!("ERR {option} option of SORT denied due to insufficient ACL permissions"))
}

/// A category that there is not.
pub fn unknown_category(name: &[u8]) -> CommandError {
    CommandError::new(format!("ERR Unknown category '{}'", printable(&name[..name.len().min(128)])))
}

/// ACL DRYRUN for a user that there is not.
pub fn user_not_found(name: &[u8]) -> CommandError {
    CommandError::new(format!("ERR User '{}' not found", printable(name)))
}

/// ACL DRYRUN of a command that there is not.
pub fn command_not_found(name: &[u8]) -> CommandError {
    CommandError::new(format!("ERR Command '{}' not found", printable(name)))
}

/// ACL SETUSER with a selector that does not end.
pub fn unmatched_parenthesis(word: &[u8]) -> CommandError {
    let word = printable(word);
    CommandError::new(format!("ERR Unmatched parenthesis in acl selector starting at '{word}'."))
}

/// ACL SETUSER with a rule that is none.
pub fn acl_rule(rule: &[u8], why: RuleError) -> CommandError {
    CommandError::new(format!("ERR Error in ACL SETUSER modifier '{}': {why}", printable(rule)))
}

/// A command that the user of the connection may not run so.
pub fn no_permission(sentence: &str) -> CommandError {
    CommandError::new(format!("NOPERM {sentence}"))
}

/// A command that the user of a script may not run so.
pub fn no_permission_in_script(sentence: &str) -> CommandError {
    CommandError::new(format!("ERR ACL failure in script: {sentence}"))
}

/// A command that was queued when the user might still run it.
pub fn no_permission_any_more(reason: Reason) -> CommandError {
    let why = match reason {
        Reason::Command => "no permission to execute the command or subcommand",
        Reason::Key => "no permission to touch the specified keys",
        Reason::Channel => "no permission to access one of the channels used as arguments to the command",
        Reason::Auth => "no permission",
    };
    CommandError::new(format!(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command \
         is no longer allowed for the following reason: {why}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb_resp::OwnedArgs;

    #[test]
    fn what_an_unknown_command_repeats_is_measured_in_bytes() {
        let text = |args: &[&[u8]]| {
            let args: OwnedArgs = args.iter().collect();
            unknown_command(args.as_args().name(), args.as_args()).text().to_owned()
        };
        let quoting = |name: &[u8], args: &[&[u8]]| {
            let args: Vec<Vec<u8>> = args.iter().map(|arg| [b"'", *arg, b"' "].concat()).collect();
            [b"ERR unknown command '", name, b"', with args beginning with: ", &args.concat()].concat()
        };
        // As redis-server 7.0.15 replies.
        let (bad, long) = ([0xff; 200], "abc".repeat(50));
        assert_eq!(
            text(&[b"NOPE", &bad[..40], long.as_bytes(), b"z"]),
            quoting(b"NOPE", &[&bad[..40], &long.as_bytes()[..85]])
        );
        assert_eq!(text(&[b"NOPE", &bad]), quoting(b"NOPE", &[&bad[..128]]));
        assert_eq!(text(&[b"NOPE", b"a\0b", b"c"]), quoting(b"NOPE", &[b"a", b"c"]));
        assert_eq!(text(&[b"\xff\xfe\x01\0E", b"\x02\xee"]), quoting(b"\xff\xfe\x01", &[b"\x02\xee"]));
    }
}
