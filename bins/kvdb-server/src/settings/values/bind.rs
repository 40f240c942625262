//! `bind`: the addresses that the server listens on.

use std::fmt;
use std::net::IpAddr;

use super::Invalid;

/// More addresses than this are refused, as in Redis.
const MAX_ADDRESSES: usize = 16;

/// One address of `bind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindAddress {
    /// An address, a host name, or `*` (any IPv4) and `::*` (any IPv6) as Redis writes them.
    pub host: String,
    /// Written with a leading `-`: the start goes on when the machine does not have the address.
    pub optional: bool,
}

impl BindAddress {
    /// Whether only this machine can reach the address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.optional { "-" } else { "" }, self.host)
    }
}

/// The addresses that `words` name; none at all turns TCP off.
///
/// # Errors
/// [`Invalid`] when there are too many or one is empty.
pub(in crate::settings) fn parse(words: &[&str]) -> Result<Vec<BindAddress>, Invalid> {
    if words.len() > MAX_ADDRESSES {
        return Err(Invalid::new("Too many bind addresses specified."));
    }
    let addresses = words.iter().map(|word| {
        let (host, optional) = word.strip_prefix('-').map_or((*word, false), |host| (host, true));
        // A letter outside this set belongs to no address or host name: a comma between addresses,
        // a port, or a bracket is what people try.
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '*' | '%');
        if host.is_empty() || !host.chars().all(allowed) {
            return Err(Invalid::new(format!(
                "'{word}' is not an address; give addresses separated by spaces, without ports"
            )));
        }
        Ok(BindAddress { host: host.to_owned(), optional })
    });
    addresses.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_makes_an_address_optional() {
        let addresses = parse(&["127.0.0.1", "-::1", "*"]).unwrap();
        assert_eq!(addresses[0], BindAddress { host: "127.0.0.1".into(), optional: false });
        assert_eq!(addresses[1], BindAddress { host: "::1".into(), optional: true });
        assert_eq!(addresses[1].to_string(), "-::1");
        assert!(addresses[0].is_loopback() && addresses[1].is_loopback() && !addresses[2].is_loopback());
        assert_eq!(parse(&[]), Ok(vec![]));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for word in ["-", "a,b", "[::1]", "1.2.3.4/8"] {
            assert!(parse(&[word]).is_err(), "{word}");
        }
        assert_eq!(parse(&["::1"; 17]), Err(Invalid::new("Too many bind addresses specified.")));
    }
}
