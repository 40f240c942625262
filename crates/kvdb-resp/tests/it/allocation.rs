//! Decoding and replying allocate nothing once a connection is warm.

#![expect(unsafe_code, reason = "an allocator that counts is an implementation of GlobalAlloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use kvdb_resp::{Decoded, Decoder, Limits, Protocol, Reply, encode_command};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what each thread allocates: tests run in parallel.
struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged; the counter is a
// thread-local without initializer or destructor, so that touching it does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's obligations are those of `System.alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are those of `System.dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's obligations are those of `System.realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(run: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    run();
    ALLOCATIONS.get() - before
}

/// Decodes the input and answers each request, as a turn of a connection does.
fn turn(decoder: &mut Decoder, mut input: &[u8], output: &mut Vec<u8>) -> usize {
    output.clear();
    let mut requests = 0;
    while let Ok(Decoded::Request { consumed }) = decoder.decode(input, &Limits::default()) {
        let args = decoder.args(input);
        let mut reply = Reply::new(output, Protocol::Resp3);
        reply.array(args.len() + 3);
        args.iter().for_each(|arg| reply.bulk(arg));
        reply.integer(args.len() as i64);
        reply.double(0.1);
        reply.error_fmt(format_args!("ERR {}", args.len()));
        input = &input[consumed..];
        requests += 1;
    }
    requests
}

#[test]
fn a_warm_connection_does_not_allocate() {
    let mut input = Vec::new();
    for i in 0..100 {
        encode_command(&mut input, ["GET", &format!("key:{i}")]);
        encode_command(&mut input, ["SET", &format!("key:{i}"), &"v".repeat(i * 10)]);
        input.extend_from_slice(b"PING\r\nECHO \"a\\x20b\"\r\n");
    }
    let mut decoder = Decoder::default();
    let mut output = Vec::new();
    let mut served = 0;
    assert!(allocations(|| served = turn(&mut decoder, &input, &mut output)) > 0);
    assert_eq!(served, 400);
    assert_eq!(allocations(|| served = turn(&mut decoder, &input, &mut output)), 0);
    assert_eq!(served, 400);
    // A connection that is shrunk after each turn keeps what ordinary requests need.
    decoder.shrink();
    assert_eq!(allocations(|| served = turn(&mut decoder, &input, &mut output)), 0);
}

#[test]
fn an_error_allocates_nothing() {
    let mut decoder = Decoder::default();
    let limits = Limits::default();
    let refused = allocations(|| {
        for stream in [&b"*1048576\r\n:"[..], b"*x\r\n", b"*1\r\n$536870913\r\n", b"*2\r\n$-1\r\n"] {
            assert!(decoder.decode(stream, &limits).is_err());
        }
    });
    assert_eq!(refused, 0);
}
