//! The Redis serialization protocol, without a socket.
//!
//! A client sends *requests* and receives *replies*. A request is a list of byte strings, its
//! *arguments*, the first of which is the command's name; it arrives either as a *multibulk*
//! (`*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`) or, typed by hand, as an *inline* line (`GET k\r\n`). A reply
//! is one value of a small type system: RESP2 knows five types, RESP3 adds maps, sets, doubles,
//! booleans, big numbers, verbatim text and out-of-band pushes.
//!
//! The server's half is [`Decoder`] and [`Reply`]. The decoder never copies a multibulk: it notes
//! where each argument lies in the caller's buffer and hands out [`Args`], a view of a few words.
//! It is resumable, so that a request which trickles in costs time linear in its length, and
//! those notes are offsets, so that the buffer may move in between. `Reply` appends to the
//! caller's output buffer; one handler serves both protocols because `Reply` knows how each type
//! is spelled in each.
//!
//! The client's half is [`encode_command`] and [`ReplyDecoder`], which builds [`Value`]s.
//!
//! ```
//! use kvdb_resp::{Decoded, Decoder, Limits, Protocol, Reply};
//!
//! let input = b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\nPING\r\n";
//! let mut decoder = Decoder::default();
//! let mut output = Vec::new();
//!
//! let decoded = decoder.decode(input, &Limits::default()).unwrap();
//! assert_eq!(decoded, Decoded::Request { consumed: 25 });
//! let args = decoder.args(input);
//! assert_eq!(args.name(), b"ECHO");
//! Reply::new(&mut output, Protocol::Resp2).bulk(&args[1]);
//! assert_eq!(output, b"$5\r\nhello\r\n");
//!
//! let rest = &input[25..];
//! assert_eq!(decoder.decode(rest, &Limits::default()), Ok(Decoded::Request { consumed: 6 }));
//! assert_eq!(decoder.args(rest).name(), b"PING");
//! ```
//!
//! # What hostile input can do
//!
//! Nothing beyond a [`ProtocolError`]. No length read from the wire sizes an allocation before it
//! has passed a limit, and the decoder's own memory grows only with bytes that have arrived.
//! Texts that echo input are stripped of CR, LF and NUL, so that one reply can never be read as
//! two.
//!
//! # What this crate does not do
//!
//! It performs no I/O, owns no buffer of the connection's, and does not know a single command: an
//! argument is bytes. It reads RESP3 attributes only to step over them, and neither reads nor
//! writes the streamed types (`$?`, `*?`), which no server is known to send.

mod args;
mod command;
mod decoder;
mod double;
mod error;
mod inline;
mod number;
mod reply;
mod reply_decoder;
mod value;

pub use args::{Args, ArgsIter, ArgsTooLarge, OwnedArgs};
pub use command::encode_command;
pub use decoder::{Decoded, Decoder, Limits};
pub use double::format_double;
pub use error::{ProtocolError, ReplyError};
pub use number::parse_i64;
pub use reply::{Deferred, Protocol, Reply};
pub use reply_decoder::{ReplyDecoder, ReplyLimits};
pub use value::Value;
