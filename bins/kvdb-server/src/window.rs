//! Commands of a pipeline that are read before the first of them runs, so that the memory they need can be asked for
//! all at once: waiting for it one by one would be most of the time of a GET.

use kvdb_resp::{Args, Decoded, Decoder, Limits, ProtocolError};
use kvdb_store::{Located, Store};

/// Commands read ahead. Enough to keep the memory busy; more would push one another out of the nearest cache.
const WIDTH: usize = 16;

/// Memory that a place in the window keeps for the next command.
const KEPT_BYTES: usize = 1024;

/// What ended a window.
pub enum End {
    /// It is full.
    Full,
    /// The input holds no further whole command.
    Partial,
    /// The input is not in the protocol.
    Broken(ProtocolError),
}

/// A command read ahead.
#[derive(Default)]
pub struct Request {
    decoder: Decoder,
    start: usize,
    /// Where the next command begins, counted from the beginning of the window's input.
    pub end: usize,
    /// What is most likely its first key.
    pub located: Option<Located>,
}

impl Request {
    /// Whether it came as a line of words and not as an array.
    #[inline]
    pub fn is_line(&self, input: &[u8]) -> bool {
        input[self.start] != b'*'
    }

    /// The arguments; `input` is what the window was filled from.
    #[inline]
    pub fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        self.decoder.args(&input[self.start..])
    }
}

/// See the module's text.
///
/// # Invariants
///
/// * The first `len` requests are whole commands that follow one another in the input.
#[derive(Default)]
pub struct Window {
    requests: Vec<Request>,
    len: usize,
    end: usize,
    /// How many windows have to come before it is found out again whether their keys are collections; 0 while they are.
    skip: u8,
}

/// The longest key whose place is computed ahead.
const LONGEST_LOCATED: usize = 512;

/// Windows without collections between two looks whether there are any.
const LOOK_EVERY: u8 = 16;

/// Which argument of a command is most likely its first key.
#[inline]
fn first_key(name: &[u8]) -> usize {
    let is_script = |word: &[u8]| word.eq_ignore_ascii_case(b"EVAL") || word.eq_ignore_ascii_case(b"FCAL");
    // Behind a script and the number of keys.
    if matches!(name.first(), Some(b'E' | b'e' | b'F' | b'f')) && name.get(..4).is_some_and(is_script) {
        3
    } else {
        1
    }
}

impl Window {
    /// How many commands it may hold.
    pub fn width(&self) -> usize {
        WIDTH
    }

    /// Reads up to `width` commands. The connection's decoder keeps what it knows of a command that is not whole.
    pub fn fill(&mut self, decoder: &mut Decoder, input: &[u8], width: usize, limits: &Limits) -> End {
        if self.requests.is_empty() {
            self.requests.resize_with(WIDTH, Request::default);
        }
        self.len = 0;
        self.end = 0;
        while self.len < width {
            match decoder.decode(&input[self.end..], limits) {
                Ok(Decoded::Request { consumed }) => {
                    let request = &mut self.requests[self.len];
                    std::mem::swap(&mut request.decoder, decoder);
                    decoder.reset();
                    request.start = self.end;
                    self.end += consumed;
                    request.end = self.end;
                    self.len += 1;
                }
                Ok(Decoded::Skip { consumed }) => {
                    self.end += consumed;
                    if let Some(last) = self.len.checked_sub(1) {
                        self.requests[last].end = self.end;
                    }
                }
                Ok(Decoded::Incomplete { .. }) => return End::Partial,
                Err(error) => return End::Broken(error),
            }
        }
        End::Full
    }

    /// Finds the places of the keys and asks the processor for what stands there.
    #[inline]
    pub fn prefetch(&mut self, input: &[u8], store: &Store, db: u16) {
        let requests = &mut self.requests[..self.len];
        for request in requests.iter_mut() {
            let args = request.decoder.args(&input[request.start..]);
            // The first argument of some commands is no key but a text, as long as it may be.
            let key = args.get(first_key(args.name())).filter(|key| key.len() <= LONGEST_LOCATED);
            request.located = key.map(|key| Located::new(key, store.place(key)));
        }
        if requests.len() == 1 {
            return;
        }
        for located in requests.iter().filter_map(|request| request.located) {
            store.prefetch(db, located.place());
        }
        for located in requests.iter().filter_map(|request| request.located) {
            store.prefetch_entry(db, located.place());
        }
        // The elements of a collection are two steps farther away. Clients mostly send more of what they have sent.
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        let mut any = false;
        for located in requests.iter().filter_map(|request| request.located) {
            any |= store.prefetch_held(db, located.place());
        }
        if !any {
            self.skip = LOOK_EVERY;
            return;
        }
        for located in requests.iter().filter_map(|request| request.located) {
            store.prefetch_elements(db, located.place());
        }
    }

    /// Gives back memory that unusually long commands have left behind.
    pub fn shrink(&mut self) {
        for request in &mut self.requests[..self.len] {
            if request.decoder.allocated() > KEPT_BYTES {
                request.decoder = Decoder::default();
            }
        }
    }

    /// The commands.
    pub fn iter(&self) -> impl Iterator<Item = &Request> {
        self.requests[..self.len].iter()
    }

    /// The number of commands.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How much of the input they are, with what was skipped.
    pub fn end(&self) -> usize {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_of_a_script_stands_behind_it_and_the_number_of_keys() {
        for name in [&b"EVAL"[..], b"evalsha", b"EVAL_RO", b"FCALL", b"fcall_ro"] {
            assert_eq!(first_key(name), 3, "{}", name.escape_ascii());
        }
        for name in [&b"GET"[..], b"EXISTS", b"EXPIRE", b"FLUSHDB", b"ECHO", b"E", b""] {
            assert_eq!(first_key(name), 1, "{}", name.escape_ascii());
        }
    }
}
