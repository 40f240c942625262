//! Bytes from anybody into cjson, cmsgpack, struct and patterns: an error, or a value that survives
//! being encoded and decoded again.

#![no_main]

use std::cell::RefCell;

use kvdb_fuzz::lua::{Impatient, LIMITS};
use kvdb_lua::{CacheLimits, Ending, Origin, ScriptCache, Vm};
use kvdb_resp::{Protocol, Reply};
use libfuzzer_sys::fuzz_target;

/// Each returns nothing, or fails, when it finds nothing to complain about.
const SCRIPTS: [&str; 6] = [
    "local ok, v = pcall(cjson.decode, ARGV[1])
     local again, text = pcall(cjson.encode, v)
     if ok and again then cjson.decode(text) end",
    "local r = {pcall(cmsgpack.unpack, ARGV[1])}
     if r[1] and r[2] ~= nil then cmsgpack.unpack(cmsgpack.pack(r[2])) end",
    "local at = 0
     while at >= 0 do local ok, n = pcall(cmsgpack.unpack_one, ARGV[1], at) if not ok then break end at = n end",
    "local r = {pcall(struct.unpack, ARGV[2], ARGV[1])}
     if r[1] then local s = struct.pack(ARGV[2], unpack(r, 2, #r - 1)) end",
    "pcall(string.find, ARGV[1], ARGV[2]) pcall(string.gsub, ARGV[1], ARGV[2], ARGV[2])
     pcall(function() for a in string.gmatch(ARGV[1], ARGV[2]) do end end)",
    "pcall(string.format, ARGV[2], ARGV[1], 1, 2.5) pcall(string.rep, ARGV[1], 3)",
];

thread_local! {
    static VM: RefCell<(Vm, ScriptCache)> =
        RefCell::new((Vm::new(LIMITS), ScriptCache::new(CacheLimits::default())));
}

// The first byte says how much of the rest is the second argument, a format or a pattern.
fuzz_target!(|data: &[u8]| {
    let [split, rest @ ..] = data else { return };
    let (second, first) = rest.split_at(rest.len().min(usize::from(*split)));
    VM.with_borrow_mut(|(vm, cache)| {
        for (index, text) in SCRIPTS.iter().enumerate() {
            let script = vm.script(cache, text.as_bytes(), Origin::Load).expect("the scripts compile");
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, Protocol::Resp2);
            let mut host = Impatient::default();
            let ending = vm.eval(&mut host, &script, &[], &[first, second], &mut reply);
            // What struct unpacks need not fit the same format again; all else must go through.
            let may_fail = index == 3 || host.was_stopped();
            assert!(ending == Ending::Returned || may_fail, "{}", out.escape_ascii());
        }
    });
});
