//! A script from anybody: it ends, in a reply that is one reply, and leaves the machine and its
//! globals as they were.

#![no_main]

use std::cell::RefCell;

use kvdb_fuzz::lua::{Impatient, LIMITS};
use kvdb_lua::{CacheLimits, Ending, Origin, ScriptCache, Vm};
use kvdb_resp::{Protocol, Reply, ReplyDecoder, ReplyLimits};
use libfuzzer_sys::fuzz_target;

const CHECK: &[u8] = b"return ('x'):upper() == 'X' and type(redis.call) == 'function' and #KEYS == 0
    and rawget(_G, 1) == nil and cjson.encode({{1}}) == '[[1]]'";

thread_local! {
    static VM: RefCell<(Vm, ScriptCache)> =
        RefCell::new((Vm::new(LIMITS), ScriptCache::new(CacheLimits::default())));
}

fn run(text: &[u8]) -> Option<Vec<u8>> {
    VM.with_borrow_mut(|(vm, cache)| {
        let script = vm.script(cache, text, Origin::Eval).ok()?;
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Protocol::Resp3);
        let ending = vm.eval(&mut Impatient::default(), &script, &[], &[b"argument"], &mut reply);
        assert_ne!(ending, Ending::Interrupted);
        Some(out)
    })
}

fuzz_target!(|data: &[u8]| {
    let Some(reply) = run(data) else { return };
    let limits = ReplyLimits { max_depth: 200, ..ReplyLimits::default() };
    // What a script calls a big number need not be one.
    if let Ok(decoded) = ReplyDecoder::default().decode(&reply, &limits) {
        assert_eq!(decoded.map(|(_, consumed)| consumed), Some(reply.len()));
    }
    assert_eq!(run(CHECK).as_deref(), Some(b":1\r\n".as_slice()));
});
