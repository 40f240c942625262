//! Commands that COMMAND DOCS says not to use any more, and those that are not for clients.
//!
//! Which they are, since when and what is said to use in their place, is as in Redis 7.2.

/// Since which version a command is not to be used any more, and what is in its place, by its name with its container's.
pub(crate) fn deprecation(name: &str) -> Option<(&'static str, &'static str)> {
    DEPRECATED
        .iter()
        .find(|(deprecated, ..)| *deprecated == name)
        .map(|&(_, since, instead)| (since, instead))
}

/// Whether a command is the system's own.
pub(super) fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

const INTERNAL: [&str; 5] = ["debug", "pfdebug", "pfselftest", "replconf", "restore-asking"];

const DEPRECATED: &[(&str, &str, &str)] = &[
    ("brpoplpush", "6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments"),
    ("cluster|slaves", "5.0.0", "`CLUSTER REPLICAS`"),
    ("cluster|slots", "7.0.0", "`CLUSTER SHARDS`"),
    ("georadius", "6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument"),
    ("georadius_ro", "6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument"),
    (
        "georadiusbymember",
        "6.2.0",
        "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
    ),
    ("georadiusbymember_ro", "6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments"),
    ("getset", "6.2.0", "`SET` with the `!GET` argument"),
    ("hmset", "4.0.0", "`HSET` with multiple field-value pairs"),
    ("psetex", "2.6.12", "`SET` with the `PX` argument"),
    ("quit", "7.2.0", "just closing the connection"),
    ("rpoplpush", "6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments"),
    ("setex", "2.6.12", "`SET` with the `EX` argument"),
    ("setnx", "2.6.12", "`SET` with the `NX` argument"),
    ("slaveof", "5.0.0", "`REPLICAOF`"),
    ("substr", "2.0.0", "`GETRANGE`"),
    ("zrangebylex", "6.2.0", "`ZRANGE` with the `BYLEX` argument"),
    ("zrangebyscore", "6.2.0", "`ZRANGE` with the `BYSCORE` argument"),
    ("zrevrange", "6.2.0", "`ZRANGE` with the `REV` argument"),
    ("zrevrangebylex", "6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments"),
    ("zrevrangebyscore", "6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments"),
];

#[cfg(test)]
mod tests {
    use super::super::Named;
    use super::*;

    #[test]
    fn what_is_deprecated_is_there_or_has_its_container_there() {
        for (name, ..) in DEPRECATED {
            let container = name.split('|').next().unwrap_or_default();
            let is_there = Named::find(name.as_bytes()).is_some() || container != *name;
            assert!(is_there && Named::find(container.as_bytes()).is_some(), "{name}");
        }
        assert_eq!(deprecation("getset"), Some(("6.2.0", "`SET` with the `!GET` argument")));
        assert_eq!(deprecation("get"), None);
    }
}
