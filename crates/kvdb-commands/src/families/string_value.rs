//! What the commands on strings, bitmaps and HyperLogLogs see of a key: its value as bytes, and how long it may get.

use itoa::Buffer;
use kvdb_resp::Reply;
use kvdb_store::{Object, ValueLimits, ValueRef};

use crate::errors::{self, CmdResult, CommandError};

/// The value of a key that has to be a string, if it is there.
#[inline]
pub(super) fn string(object: Option<Object<'_>>) -> Result<Option<ValueRef<'_>>, CommandError> {
    match object {
        Some(object) => object.string().map(Some).ok_or(errors::WRONG_TYPE),
        None => Ok(None),
    }
}

/// The bytes of a value; those of an integer are its digits, which `digits` has room for.
#[inline]
pub(super) fn bytes<'a>(value: ValueRef<'a>, digits: &'a mut Buffer) -> &'a [u8] {
    match value {
        ValueRef::Bytes(bytes) => bytes,
        ValueRef::Int(integer) => digits.format(integer).as_bytes(),
    }
}

/// Replies with a value, or null where there is none.
#[inline]
pub(super) fn reply_value(reply: &mut Reply<'_>, value: Option<ValueRef<'_>>) {
    match value {
        Some(ValueRef::Bytes(bytes)) => reply.bulk(bytes),
        Some(ValueRef::Int(integer)) => reply.bulk_integer(integer),
        None => reply.null(),
    }
}

/// Whether `len` bytes at `offset` stay within what a string may hold.
pub(super) fn check_length(limits: &ValueLimits, offset: usize, len: usize) -> CmdResult {
    match offset.checked_add(len) {
        Some(end) if end <= limits.max_string_bytes => Ok(()),
        _ => Err(errors::STRING_TOO_LONG),
    }
}
