//! Requests as a client writes them.

use crate::number::push_header;

/// Appends a request as a multibulk.
///
/// ```
/// let mut out = Vec::new();
/// kvdb_resp::encode_command(&mut out, ["GET", "k"]);
/// assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
/// ```
pub fn encode_command<I>(out: &mut Vec<u8>, args: I)
where
    I: IntoIterator<Item: AsRef<[u8]>, IntoIter: ExactSizeIterator>,
{
    let args = args.into_iter();
    push_header(out, b'*', args.len());
    for arg in args {
        let arg = arg.as_ref();
        out.reserve(arg.len() + 32);
        push_header(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}
