//! Where replies end. A generator need not know what they say, except that one is an error.

use std::io;

/// The first reply of `bytes`: its length and whether it is an error; `None` when it is not complete.
pub(super) fn first(bytes: &[u8]) -> io::Result<Option<(usize, bool)>> {
    let mut at = 0;
    let mut left = 1_u64;
    while left > 0 {
        let Some(end) = bytes[at..].iter().position(|&byte| byte == b'\n') else { return Ok(None) };
        let line = &bytes[at..at + end];
        at += end + 1;
        left -= 1;
        match line.first() {
            Some(b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(') => {}
            Some(b'$' | b'=' | b'!') => {
                if let Some(length) = number(line)? {
                    at += usize::try_from(length).map_err(io::Error::other)? + 2;
                }
            }
            Some(b'*' | b'~' | b'>') => left += number(line)?.unwrap_or(0),
            Some(b'%') => left += number(line)?.unwrap_or(0) * 2,
            Some(b'|') => left += number(line)?.unwrap_or(0) * 2 + 1,
            _ => return Err(malformed(line)),
        }
        if at > bytes.len() {
            return Ok(None);
        }
    }
    Ok(Some((at, matches!(bytes[0], b'-' | b'!'))))
}

/// The length in a header line; `None` for the -1 of a null.
fn number(line: &[u8]) -> io::Result<Option<u64>> {
    let text = std::str::from_utf8(&line[1..]).unwrap_or_default().trim_end();
    if text == "-1" {
        return Ok(None);
    }
    // Half a gigabyte is the protocol's own limit; a longer one is a broken stream.
    text.parse().ok().filter(|&length| length <= 512 << 20).map(Some).ok_or_else(|| malformed(line))
}

fn malformed(line: &[u8]) -> io::Error {
    let shown = String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent what is no reply: {shown:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_each_kind_end_where_they_end() {
        let replies = [
            "+OK\r\n",
            ":1\r\n",
            "$3\r\na\nb\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "_\r\n",
            "*0\r\n",
            "*2\r\n:1\r\n*1\r\n$0\r\n\r\n",
            "%1\r\n+a\r\n:1\r\n",
            "|1\r\n+a\r\n:1\r\n:2\r\n",
            ",1.5\r\n",
            "#t\r\n",
            "=7\r\ntxt:abc\r\n",
        ];
        for reply in replies {
            let followed = format!("{reply}+next\r\n");
            assert_eq!(first(followed.as_bytes()).expect(reply), Some((reply.len(), false)), "{reply:?}");
            for cut in 0..reply.len() {
                assert_eq!(first(&reply.as_bytes()[..cut]).expect(reply), None, "{reply:?} cut at {cut}");
            }
        }
        assert_eq!(first(b"-ERR x\r\n").expect("an error"), Some((8, true)));
    }

    #[test]
    fn a_broken_stream_is_an_error() {
        for bytes in ["hello\r\n", "$x\r\n", "*99999999999\r\n", "\r\n"] {
            assert!(first(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }
}
