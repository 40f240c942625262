//! Which arguments of a command are secrets: MONITOR and the slow log show `(redacted)` in their place.

use kvdb_commands::{CommandSpec, Flags};
use kvdb_resp::Args;

use crate::settings::table::{self, Kind};

const REDACTED: &[u8] = b"(redacted)";

/// The arguments as others may see them.
pub fn shown<'a>(spec: &CommandSpec, args: Args<'a>) -> Vec<&'a [u8]> {
    let mut shown: Vec<&[u8]> = args.iter().collect();
    match spec.name {
        "auth" => shown[1..].fill(REDACTED),
        "hello" => {
            if let Some(at) = shown.iter().position(|arg| arg.eq_ignore_ascii_case(b"AUTH")) {
                shown.iter_mut().skip(at + 1).take(2).for_each(|arg| *arg = REDACTED);
            }
        }
        // ACL SETUSER, and ACL DRYRUN of anything.
        "setuser" => shown[2..].fill(REDACTED),
        "dryrun" => shown[4..].fill(REDACTED),
        // CONFIG SET, the only such command of that name.
        "set" if spec.flags.has(Flags::ADMIN) => {
            for pair in shown[2..].chunks_mut(2) {
                if let [name, value] = pair
                    && is_secret(name)
                {
                    *value = REDACTED;
                }
            }
        }
        _ => {}
    }
    shown
}

/// Whether a setting is a secret. One that does not exist may be one with a slip in its name.
fn is_secret(name: &[u8]) -> bool {
    table::find(&String::from_utf8_lossy(name)).is_none_or(|setting| setting.kind == Kind::Secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb_commands::{find, find_subcommand};
    use kvdb_resp::OwnedArgs;

    fn line(words: &str) -> String {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        let args: OwnedArgs = words.iter().collect();
        let (_, spec) = find(words[0]).expect("it is in the table");
        let spec = words.get(1).and_then(|sub| find_subcommand(spec, sub)).unwrap_or(spec);
        String::from_utf8(shown(spec, args.as_args()).join(&b' ')).expect("it was text")
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(line("AUTH secret"), "AUTH (redacted)");
        assert_eq!(line("auth user secret"), "auth (redacted) (redacted)");
        assert_eq!(
            line("HELLO 3 auth user secret SETNAME me"),
            "HELLO 3 auth (redacted) (redacted) SETNAME me"
        );
        assert_eq!(line("hello 2"), "hello 2");
        assert_eq!(line("acl setuser alice on >x"), "acl setuser (redacted) (redacted) (redacted)");
        assert_eq!(line("acl dryrun alice auth x"), "acl dryrun alice auth (redacted)");
        assert_eq!(
            line("CONFIG SET maxmemory 1gb RequirePass secret hz"),
            "CONFIG SET maxmemory 1gb RequirePass (redacted) hz"
        );
        assert_eq!(line("config set requirepas secret"), "config set requirepas (redacted)");
    }

    #[test]
    fn everything_else_is() {
        assert_eq!(line("SET requirepass secret"), "SET requirepass secret");
        assert_eq!(line("config get requirepass"), "config get requirepass");
    }
}
