//! FUNCTION DUMP and RESTORE payloads: libraries of functions, in the frame of DUMP.
//!
//! ```text
//! (245   code as a string)*   RDB version (u16)   CRC-64 of all before (u64), both little-endian
//! ```

use std::borrow::Cow;

use super::{RdbError, Reader, seal, verify, write_string};

/// Stands before the code of a library.
const OPCODE_LIBRARY: u8 = 245;
/// Stood there before Redis 7.0 was released; what followed was another format.
const OPCODE_EARLY_LIBRARY: u8 = 246;

/// The payload of libraries that have this code.
#[must_use]
pub fn dump_libraries<'a>(codes: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for code in codes {
        body.push(OPCODE_LIBRARY);
        write_string(&mut body, code);
    }
    seal(body)
}

/// The code of the libraries in a payload, each at most `max_code_bytes` long. An item that is an error, which is what
/// FUNCTION RESTORE says of it, is the last one.
///
/// # Errors
/// The footer is missing, its version is too new, or the checksum is another one.
pub fn read_libraries(payload: &[u8], max_code_bytes: usize) -> Result<ReadLibraries<'_>, RdbError> {
    Ok(ReadLibraries { reader: verify(payload)?, max_code_bytes })
}

/// What [`read_libraries`] reads.
#[derive(Debug)]
pub struct ReadLibraries<'a> {
    reader: Reader<'a>,
    max_code_bytes: usize,
}

impl<'a> Iterator for ReadLibraries<'a> {
    type Item = Result<Cow<'a, [u8]>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = match self.reader.byte().ok()? {
            OPCODE_LIBRARY => {
                self.reader.string(self.max_code_bytes).map_err(|_| "Failed loading library payload")
            }
            OPCODE_EARLY_LIBRARY => Err("Pre-release function format not supported."),
            _ => Err("given type is not a function"),
        };
        if read.is_err() {
            self.reader.rest = &[];
        }
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"#!lua name=one\nredis.register_function('f', function() return 'one' end)";
    const TWO: &[u8] = b"#!lua name=two\nredis.register_function('g', function() return 'two' end)";

    fn read(payload: &[u8]) -> Vec<Result<Vec<u8>, &'static str>> {
        let libraries = read_libraries(payload, 1 << 20).expect("the footer is sound");
        libraries.map(|code| code.map(Cow::into_owned)).collect()
    }

    #[test]
    fn payloads_equal_those_of_redis() {
        assert_eq!(dump_libraries([]), b"\n\x00]\x9b\\@\x0f\x7f\xa2\xda");
        // Of Redis 7.0.15, whose table happened to have these two in this order.
        let mut payload = [&b"\xf5@H"[..], TWO, b"\xf5@H", ONE].concat();
        payload.extend_from_slice(b"\n\x00\x03\xb86WXyE\x8a");
        assert_eq!(dump_libraries([TWO, ONE]), payload);
        assert_eq!(read(&payload), [Ok(TWO.to_vec()), Ok(ONE.to_vec())]);
        assert_eq!(read(&dump_libraries([])), []);
    }

    #[test]
    fn compressed_code_is_read() {
        // Of Redis 7.0.15.
        let payload = hex(
            "f5c3404941101223216c7561206e616d653d6269670a2d2d2061e0be001d0a72656469732e72656769737465725f66756e6374696f\
             6e282268222c20e0000d0e292072657475726e203120656e64290a00ffedbc93bbc1fe58",
        );
        let long = "a".repeat(200);
        let code =
            format!("#!lua name=big\n-- {long}\nredis.register_function(\"h\", function() return 1 end)");
        assert_eq!(read(&payload), [Ok(code.into_bytes())]);
        let mut short = read_libraries(&payload, 100).expect("the footer is sound");
        assert_eq!(short.next(), Some(Err("Failed loading library payload")));
    }

    #[test]
    fn bodies_that_lie_are_refused() {
        for (body, text) in [
            (&b"\xf5"[..], "Failed loading library payload"),
            (b"\xf5\x7f", "Failed loading library payload"),
            (b"\xf5\x05ab", "Failed loading library payload"),
            (b"\xf6\x03LUA", "Pre-release function format not supported."),
            (b"\x00\x03LUA", "given type is not a function"),
        ] {
            assert_eq!(read(&seal(body.to_vec())), [Err(text)], "{body:x?}");
            assert!(read_libraries(body, 1 << 20).is_err());
        }
        assert_eq!(
            read(&seal(b"\xf5\x01a\x00\xf5\x01b".to_vec())).len(),
            2,
            "nothing is read behind an error"
        );
    }

    fn hex(digits: &str) -> Vec<u8> {
        let digits = digits.as_bytes().chunks_exact(2).map(|pair| str::from_utf8(pair).expect("digits"));
        digits.map(|pair| u8::from_str_radix(pair, 16).expect("digits")).collect()
    }
}
