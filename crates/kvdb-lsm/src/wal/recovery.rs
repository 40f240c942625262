//! Reads a log back after a restart, and decides what a damaged end means.
//!
//! # The rule
//!
//! 1. Segments are numbered without gaps. Every one but the last ends with its trailer and holds
//!    no bad chunk; otherwise the log is corrupt.
//! 2. In the last segment, let X be the offset of the first bad chunk. If any chunk behind X
//!    promises that the segment was durable beyond X, durable data was damaged: corrupt. Otherwise
//!    X is a torn tail: bytes that were being written when the machine stopped. The segment is cut
//!    behind its last whole record.
//! 3. Sequence numbers are contiguous over the whole log; a jump is corruption.
//!
//! Nothing is ever skipped: what is recovered is a prefix of what was appended. A segment is never
//! continued after a restart: it is cut, made durable and finished with a trailer, and the log goes
//! on in a new one. What the last segment does not promise to be durable is written anew before
//! that, because it may be the survivor of a failed sync, which a mere sync would not save. Corruption is reported with file and offset, and nothing is changed on disk.

use super::SegmentNumber;
use super::format::{BLOCK_LEN, ChunkType, FILE_HEADER_LEN, FIRST_RECORD, parse_segment_name, segment_path};
use super::reader::{ChunkRead, ChunkReader};
use super::writer::Framer;
use crate::batch::{BatchView, Seq};
use crate::error::Error;
use crate::sabotage::{self, Bug};
use crate::vfs::{Vfs, VfsFile, VfsFileExt};
use std::path::{Path, PathBuf};

/// The bytes rewritten at once.
const REWRITE_LEN: u64 = 1 << 20;

/// The legal loss at the end of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment that was cut.
    pub file: PathBuf,
    /// Its new length before the trailer: the end of its last whole record.
    pub offset: u64,
    /// The bytes cut off that were not zero-filled preallocation.
    pub bytes: u64,
    /// What stood at the first unreadable place.
    pub why: &'static str,
}

/// What was found when a log was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments read.
    pub segments: u64,
    /// Records (write groups) replayed.
    pub records: u64,
    /// Batches replayed.
    pub batches: u64,
    /// Bytes of the batches replayed.
    pub bytes: u64,
    /// The last sequence number of the log; 0 if there is none.
    pub last_seq: Seq,
    /// The unfinished end that was cut off, if there was one.
    pub torn_tail: Option<TornTail>,
}

/// What a recovery hands over to the new log.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) recovered: Recovered,
    /// The segments that were read, with their lengths.
    pub(crate) segments: Vec<(SegmentNumber, u64)>,
    /// The number for the segment to create.
    pub(crate) next_segment: SegmentNumber,
}

/// Where to start, and what must be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// Segments below are obsolete. If not 0, a segment of this number must exist.
    pub(crate) min_segment: SegmentNumber,
    /// The sequence number of the first operation ever, for a log without any segment.
    pub(crate) first_seq: Seq,
}

/// Replays all segments in `dir`, in order, and finishes the last one.
pub(crate) fn recover(
    vfs: &dyn Vfs,
    dir: &Path,
    start: Start,
    replay: &mut dyn FnMut(SegmentNumber, BatchView<'_>) -> Result<(), Error>,
) -> Result<Replay, Error> {
    let numbers = live_segments(vfs, dir, start.min_segment)?;
    let mut state = Recovery { expected: None, recovered: Recovered::default(), replay };
    let mut segments = Vec::with_capacity(numbers.len());
    let mut next_segment = start.min_segment.max(1);
    for &number in &numbers {
        let last = Some(&number) == numbers.last();
        let path = segment_path(dir, number);
        let file = vfs.open(&path).map_err(Error::io("open", &path))?;
        let end = state.segment(&*file, &path, number, last)?;
        if last && !end.finished && end.whole == FIRST_RECORD {
            // Nothing is in it. The new segment takes its place, and with the name its number: a
            // process that could not make that name durable died before it wrote a record.
            state.note_torn_tail(&*file, &path, &end)?;
            next_segment = number;
            break;
        }
        let len = if last { state.finish(&*file, &path, number, &end)? } else { end.whole };
        segments.push((number, len));
        next_segment = number + 1;
    }
    let expected = state.expected.unwrap_or(start.first_seq);
    state.recovered.last_seq = expected - 1;
    Ok(Replay { recovered: state.recovered, segments, next_segment })
}

/// Replays all segments in `dir` as [`recover`] does, and changes nothing. The legal loss at the end
/// is reported and stays where it is.
pub(crate) fn replay_only(
    vfs: &dyn Vfs,
    dir: &Path,
    start: Start,
    replay: &mut dyn FnMut(SegmentNumber, BatchView<'_>) -> Result<(), Error>,
) -> Result<Recovered, Error> {
    let numbers = live_segments(vfs, dir, start.min_segment)?;
    let mut state = Recovery { expected: None, recovered: Recovered::default(), replay };
    for &number in &numbers {
        let last = Some(&number) == numbers.last();
        let path = segment_path(dir, number);
        let file = vfs.open_read(&path).map_err(Error::io("open", &path))?;
        let end = state.segment(&*file, &path, number, last)?;
        if last && !end.finished {
            state.note_torn_tail(&*file, &path, &end)?;
        }
    }
    state.recovered.last_seq = state.expected.unwrap_or(start.first_seq) - 1;
    Ok(state.recovered)
}

/// The numbers of the segments from `min_segment` on, which have no gap.
fn live_segments(vfs: &dyn Vfs, dir: &Path, min_segment: SegmentNumber) -> Result<Vec<SegmentNumber>, Error> {
    let names = vfs.list(dir).map_err(Error::io("list", dir))?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    numbers.retain(|&number| number >= min_segment);
    numbers.sort_unstable();
    let missing = |number| {
        let what = "the segment is missing from the log";
        Err(Error::corruption(&segment_path(dir, number), 0, what))
    };
    if min_segment > 0 && numbers.first() != Some(&min_segment) {
        return missing(min_segment);
    }
    for pair in numbers.windows(2) {
        if pair[1] != pair[0] + 1 {
            return missing(pair[0] + 1);
        }
    }
    Ok(numbers)
}

/// How a segment ended.
struct End {
    /// The end of the last whole record (or of the trailer).
    whole: u64,
    /// The segment has its trailer.
    finished: bool,
    /// The first bad chunk of an unfinished segment.
    bad: Option<(u64, &'static str)>,
    /// The segment was durable up to here, as its chunks promise.
    durable: u64,
}

struct Recovery<'r> {
    /// The next sequence number; `None` before the first segment.
    expected: Option<Seq>,
    recovered: Recovered,
    replay: &'r mut dyn FnMut(SegmentNumber, BatchView<'_>) -> Result<(), Error>,
}

impl Recovery<'_> {
    fn segment(
        &mut self,
        file: &dyn VfsFile,
        path: &Path,
        number: SegmentNumber,
        last: bool,
    ) -> Result<End, Error> {
        let io = |e| Error::io("read", path)(e);
        let mut reader = ChunkReader::new(file, number).map_err(io)?;
        if !reader.header_is_valid().map_err(io)? {
            return Err(Error::corruption(path, 0, "the file header is damaged"));
        }
        self.head(&mut reader, path)?;
        self.recovered.segments += 1;
        // The parts of a record that spans chunks, and where it starts.
        let mut parts: Vec<u8> = Vec::new();
        let mut open: Option<u64> = None;
        let mut whole = reader.offset();
        let mut durable = whole;
        loop {
            match reader.next().map_err(io)? {
                ChunkRead::Bad { offset, why } => {
                    if reader.read_again(offset) {
                        continue;
                    }
                    if !last {
                        return Err(Error::corruption(path, offset, why));
                    }
                    refuse_if_durable(&mut reader, path, offset, why)?;
                    return Ok(End { whole, finished: false, bad: Some((offset, why)), durable });
                }
                ChunkRead::Valid { offset, .. }
                    if sabotage::has(Bug::DroppedTail) && last && offset > FIRST_RECORD + 2048 =>
                {
                    return Ok(End { whole, finished: false, bad: Some((offset, "dropped")), durable });
                }
                ChunkRead::Valid { offset, header, payload } => {
                    durable = durable.max(header.synced_off);
                    let record: &[u8] = match (header.kind, open) {
                        (ChunkType::Full, None) => payload,
                        (ChunkType::First, None) => {
                            parts.clear();
                            parts.extend_from_slice(payload);
                            open = Some(offset);
                            continue;
                        }
                        (ChunkType::Middle, Some(_)) => {
                            parts.extend_from_slice(payload);
                            continue;
                        }
                        (ChunkType::Last, Some(_)) => {
                            parts.extend_from_slice(payload);
                            &parts
                        }
                        (ChunkType::Trailer, None) => {
                            self.trailer(payload, offset, path)?;
                            let whole = reader.offset();
                            return Ok(End { whole, finished: true, bad: None, durable });
                        }
                        _ => {
                            let what = "the chunk does not continue what precedes it";
                            return Err(Error::corruption(path, offset, what));
                        }
                    };
                    self.record(record, number, path, open.unwrap_or(offset))?;
                    open = None;
                    whole = reader.offset();
                }
            }
        }
    }

    fn head(&mut self, reader: &mut ChunkReader<'_>, path: &Path) -> Result<(), Error> {
        let io = |e| Error::io("read", path)(e);
        let first = reader.offset();
        if matches!(reader.next().map_err(io)?, ChunkRead::Bad { .. }) {
            reader.read_again(first);
        } else {
            reader.seek(first);
        }
        let (offset, next_seq) = match reader.next().map_err(io)? {
            ChunkRead::Valid { offset, header, payload } if header.kind == ChunkType::Head => {
                let payload: Result<[u8; 8], _> = payload.try_into();
                (offset, payload.ok().map(u64::from_le_bytes))
            }
            ChunkRead::Valid { offset, .. } | ChunkRead::Bad { offset, .. } => (offset, None),
        };
        let Some(next_seq) = next_seq.filter(|&seq| seq > 0) else {
            return Err(Error::corruption(path, offset, "the segment does not start with its head"));
        };
        match self.expected {
            Some(expected) if expected != next_seq => {
                let what = format!("the segment starts at sequence number {next_seq}, not at {expected}");
                Err(Error::corruption(path, offset, what))
            }
            _ => {
                self.expected = Some(next_seq);
                Ok(())
            }
        }
    }

    fn record(
        &mut self,
        mut record: &[u8],
        number: SegmentNumber,
        path: &Path,
        offset: u64,
    ) -> Result<(), Error> {
        self.recovered.records += 1;
        while !record.is_empty() {
            let (batch, used) =
                BatchView::decode(record).map_err(|why| Error::corruption(path, offset, why))?;
            let expected = self.expected.expect("the head of the segment was read");
            if batch.first_seq() != expected {
                let found = batch.first_seq();
                let what = format!("sequence number {found} follows {}", expected - 1);
                return Err(Error::corruption(path, offset, what));
            }
            (self.replay)(number, batch)?;
            self.expected = Some(batch.last_seq() + 1);
            self.recovered.batches += 1;
            self.recovered.bytes += used as u64;
            record = &record[used..];
        }
        Ok(())
    }

    fn trailer(&self, payload: &[u8], offset: u64, path: &Path) -> Result<(), Error> {
        let last_seq = self.expected.expect("the head of the segment was read") - 1;
        let mut expected = [0u8; 16];
        expected[..8].copy_from_slice(&offset.to_le_bytes());
        expected[8..].copy_from_slice(&last_seq.to_le_bytes());
        if payload != expected {
            let what = "the trailer does not agree with what precedes it";
            return Err(Error::corruption(path, offset, what));
        }
        Ok(())
    }

    /// Reports what stands behind the last whole record, if it is not only preallocation.
    fn note_torn_tail(&mut self, file: &dyn VfsFile, path: &Path, end: &End) -> Result<(), Error> {
        let (bad, why) = end.bad.unwrap_or((end.whole, ""));
        let garbage = last_nonzero(file, end.whole).map_err(Error::io("read", path))?;
        if garbage > end.whole {
            let bytes = garbage.max(bad) - end.whole;
            let tail = TornTail { file: path.to_owned(), offset: end.whole, bytes, why };
            self.recovered.torn_tail = Some(tail);
        }
        Ok(())
    }

    /// Cuts the last segment behind its last whole record and gives it a trailer, durably. Returns
    /// its length.
    fn finish(
        &mut self,
        file: &dyn VfsFile,
        path: &Path,
        number: SegmentNumber,
        end: &End,
    ) -> Result<u64, Error> {
        if end.finished {
            // The trailer may still be in the cache only.
            rewrite(file, end.durable, end.whole).map_err(Error::io("rewrite", path))?;
            file.sync_all().map_err(Error::io("sync", path))?;
            return Ok(end.whole);
        }
        self.note_torn_tail(file, path, end)?;
        // The cut comes to the disk before the trailer does: a trailer with garbage in front of it
        // or a promise behind it must never exist.
        file.truncate(end.whole).map_err(Error::io("truncate", path))?;
        rewrite(file, end.durable, end.whole).map_err(Error::io("rewrite", path))?;
        file.sync_all().map_err(Error::io("sync", path))?;
        let mut framer = Framer::resume(number, end.whole);
        let mut out = Vec::new();
        let last_seq = self.expected.expect("the head of the segment was read") - 1;
        framer.trailer(last_seq, end.whole, &mut out);
        file.write_all_at(&out, end.whole).map_err(Error::io("write", path))?;
        file.sync_all().map_err(Error::io("sync", path))?;
        Ok(framer.offset())
    }
}

/// Looks behind the bad chunk at `bad` for a promise that it was durable.
///
/// Within the block the search hops over chunks whose headers are plausible; after that it goes on
/// at the start of every further block, where a chunk header always stands. It does not believe
/// chunks at arbitrary offsets: a client could store a value that holds a forged promise, and a
/// power failure would then look like damage. There are two exceptions. A chunk that states its own
/// offset, which no client knows, is looked for everywhere. And where the bad chunk would be whole
/// with another length, type or segment number, it ends where that length says.
///
/// Its cost is bounded: all but the last of these read the rest of the segment once, and the last
/// computes at most some thousand checksums within one block, whatever stands there.
fn refuse_if_durable(
    reader: &mut ChunkReader<'_>,
    path: &Path,
    bad: u64,
    why: &'static str,
) -> Result<(), Error> {
    let io = |e| Error::io("read", path)(e);
    let refuse = |synced: u64| {
        let what = format!("{why}, though the file was durable up to offset {synced}");
        Err(Error::corruption(path, bad, what))
    };
    let mut at = bad;
    while at < reader.file_len() {
        if let Some(synced) = promise_from(reader, at, bad).map_err(io)? {
            return refuse(synced);
        }
        at = (reader.offset() / BLOCK_LEN).max(at / BLOCK_LEN) * BLOCK_LEN + BLOCK_LEN;
    }
    // A damaged header hides what follows it in its block.
    if let Some(synced) = reader.find_placed(bad).map_err(io)? {
        return refuse(synced);
    }
    if let Some(end) = reader.find_end(bad).map_err(io)?
        && let Some(synced) = promise_from(reader, end, bad).map_err(io)?
    {
        return refuse(synced);
    }
    Ok(())
}

/// The first promise beyond `bad` of a chunk that can be reached from `from`. Leaves the reader where
/// the way ended.
fn promise_from(reader: &mut ChunkReader<'_>, from: u64, bad: u64) -> std::io::Result<Option<u64>> {
    reader.seek(from);
    loop {
        let promised = match reader.next()? {
            ChunkRead::Valid { header, .. } => Some(header.synced_off),
            ChunkRead::Bad { .. } => None,
        };
        match promised {
            Some(synced) if synced > bad => return Ok(promised),
            Some(_) => {}
            None if reader.skip_bad()? => {}
            None => return Ok(None),
        }
    }
}

/// Writes the bytes between two offsets over themselves. If a sync failed in the life before, the
/// system may have them in its cache only, marked as saved: a sync alone would not save them.
fn rewrite(file: &dyn VfsFile, from: u64, to: u64) -> std::io::Result<()> {
    let mut buf = vec![0u8; REWRITE_LEN.min(to.saturating_sub(from)) as usize];
    let mut at = from;
    while at < to {
        let count = (to - at).min(REWRITE_LEN) as usize;
        file.read_exact_at(&mut buf[..count], at)?;
        file.write_all_at(&buf[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

/// The offset behind the last byte at or after `from` that is not zero; `from` if there is none.
pub(super) fn last_nonzero(file: &dyn VfsFile, from: u64) -> std::io::Result<u64> {
    let len = file.len()?;
    let mut end = from.max(FILE_HEADER_LEN);
    let mut at = from;
    let mut buf = vec![0u8; BLOCK_LEN as usize];
    while at < len {
        let count = (len - at).min(BLOCK_LEN) as usize;
        file.read_exact_at(&mut buf[..count], at)?;
        if let Some(last) = buf[..count].iter().rposition(|&b| b != 0) {
            end = at + last as u64 + 1;
        }
        at += count as u64;
    }
    Ok(end)
}
