//! Made-up data through cjson, cmsgpack and struct, and made-up bytes into them.

use kvdb_lua::VmOptions;
use proptest::prelude::*;

use crate::scripts::Server;

/// A Lua value as source text, without what the formats cannot tell apart: empty tables, and numbers of more than
/// fourteen digits.
fn literal() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|n| n.to_string()),
        (-1_000_000i32..1_000_000).prop_map(|n| (f64::from(n) / 1024.0).to_string()),
        any::<bool>().prop_map(|value| value.to_string()),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| quoted(&bytes)),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..5)
                .prop_map(|items| format!("{{{}}}", items.join(","))),
            proptest::collection::btree_map("[a-z]{1,6}", inner, 1..5).prop_map(|fields| {
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("['{name}']={value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

/// Bytes as a Lua string. Not NUL, which ends JSON text.
fn quoted(bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|&byte| format!("\\{:03}", byte.max(1))).collect();
    format!("'{escaped}'")
}

/// Bytes as a Lua string, all of them.
fn exact(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| format!("\\{byte:03}")).collect()
}

const SAME: &str = "
    local function same(a, b)
        if type(a) ~= 'table' or type(b) ~= 'table' then return a == b end
        for k, v in pairs(a) do if not same(v, b[k]) then return false end end
        for k in pairs(b) do if a[k] == nil then return false end end
        return true
    end";

fn small() -> Server {
    Server::with_options(VmOptions { memory_limit: 8 << 20, max_reply: 1 << 20 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_encoded_is_decoded(value in literal()) {
        let mut server = small();
        let json = format!("{SAME} local v = {value} return same(v, cjson.decode(cjson.encode(v)))");
        prop_assert_eq!(server.eval(&json), ":1");
        let packed = format!("{SAME} local v = {value} return same({{v, v}}, {{cmsgpack.unpack(cmsgpack.pack(v, v))}})");
        prop_assert_eq!(server.eval(&packed), ":1");
    }

    #[test]
    fn packed_structures_are_unpacked(
        order in "[<>]?",
        alignment in "(![1248])?",
        integers in proptest::collection::vec((any::<i32>(), 4usize..9), 0..6),
        text in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let formats: String = integers.iter().map(|(_, size)| format!("i{size}")).collect();
        let numbers: String = integers.iter().map(|(n, _)| format!("{n},")).collect();
        let format = format!("{order}{alignment}{formats}dc{}s", text.len());
        let text = exact(&text);
        // A `c0` takes the whole string when it is packed, and a length before it when it is unpacked.
        prop_assume!(!text.is_empty());
        let script = format!(
            "{SAME} local v = {{{numbers} 1.5, '{text}', 'end'}}
             local s = struct.pack('{format}', unpack(v))
             v[#v + 1] = #s + 1
             return same(v, {{struct.unpack('{format}', s)}}) and struct.size('{order}{alignment}{formats}d') <= #s"
        );
        prop_assert_eq!(small().eval(&script), ":1");
    }

    #[test]
    fn hostile_bytes_end_in_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut server = small();
        let text = exact(&bytes);
        for call in [
            format!("cmsgpack.unpack('{text}')"),
            format!("cmsgpack.unpack_limit('{text}', 2, 1)"),
            format!("cjson.decode('{text}')"),
            format!("struct.unpack('{text}', '{text}')"),
            format!("struct.size('{text}')"),
            format!("string.find('{text}', '{text}')"),
            format!("string.gsub('{text}', '{text}', '{text}')"),
            format!("loadstring('{text}')"),
            format!("redis.call('test.raw', '{text}')"),
        ] {
            prop_assert_eq!(server.eval(&format!("local ok, e = pcall(function() return {call} end) return true")), ":1");
        }
        prop_assert!(server.vm.used_memory() < 8 << 20);
    }

    #[test]
    fn json_like_text_ends_in_a_value_or_an_error(text in "[\\[\\]{}:,\"0-9a-fnultrse+.\\\\xX -]{0,60}") {
        let mut server = small();
        let text = exact(text.as_bytes());
        let script = format!(
            "{SAME} local ok, v = pcall(cjson.decode, '{text}')
             if not ok then return type(v) == 'string' end
             local again, json = pcall(cjson.encode, v)
             return not again or #json > 0"
        );
        prop_assert_eq!(server.eval(&script), ":1");
    }

    #[test]
    fn any_text_can_be_run(text in "[a-z0-9 ='\"(){}\\[\\],.;:#%+\\-*/^~<>\n]{0,120}") {
        let mut server = small();
        server.host.stop = Some(kvdb_lua::Stop::Kill);
        server.host.patience = 20;
        let first = server.eval(&text);
        prop_assert!(!first.is_empty());
        prop_assert_eq!(server.eval("return 'still here'"), "\"still here\"");
    }
}
