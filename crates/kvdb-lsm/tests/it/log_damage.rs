//! Damage to the files of a log: every byte flipped, every length cut, and a model of the rule
//! that tells a torn tail from damage. Never a wrong batch, never a panic.

use crate::support::{Replayed, Rng, batch, cases, open, options, segment_file};
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::error::Error;
use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::vfs::{SimVfs, Vfs, VfsFileExt};

const BLOCK: usize = 32 * 1024;
const HEADER: usize = 19;

fn read(vfs: &SimVfs, number: u64) -> Vec<u8> {
    let file = vfs.open_read(&segment_file(number)).expect("opened");
    let mut bytes = vec![0; usize::try_from(file.len().expect("length")).expect("small")];
    file.read_exact_at(&mut bytes, 0).expect("read");
    bytes
}

/// A copy of the file system in which one segment has other bytes.
fn with_bytes(vfs: &SimVfs, number: u64, bytes: &[u8]) -> SimVfs {
    let copy = vfs.process_crash();
    let file = copy.open(&segment_file(number)).expect("opened");
    file.truncate(0).expect("cut");
    file.write_all_at(bytes, 0).expect("written");
    copy
}

/// Opens, and asserts that corruption is the only error.
fn open_damaged(vfs: &SimVfs, context: &str) -> Option<Replayed> {
    match open(options(vfs, SyncPolicy::No)) {
        Ok((log, _, replayed)) => {
            replayed.assert_prefix(context);
            drop(log);
            // What was decided once is decided: nothing changes any more.
            let (_, recovered, again) =
                open(options(vfs, SyncPolicy::No)).unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(again.batches, replayed.batches, "{context}");
            assert_eq!(recovered.torn_tail, None, "{context}");
            Some(replayed)
        }
        Err(Error::Corruption { .. }) => None,
        Err(other) => panic!("{context}: {other}"),
    }
}

/// Finished segments and an unfinished one, of a few batches each.
fn small_log() -> SimVfs {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
    for n in 0..9 {
        let (seq, ()) = log.append(&batch(n), |_| ()).expect("appended");
        log.write_out(seq).expect("written");
        if n % 2 == 0 {
            log.sync().expect("synced");
        }
        if n % 4 == 3 {
            log.rotate(|_| ()).expect("rotated");
        }
    }
    vfs.process_crash()
}

#[test]
fn every_flipped_byte_is_found_or_costs_only_a_tail() {
    let vfs = small_log();
    for number in 1.. {
        if !vfs.exists(&segment_file(number)).expect("looked") {
            assert!(number > 3);
            break;
        }
        let last = !vfs.exists(&segment_file(number + 1)).expect("looked");
        let bytes = read(&vfs, number);
        let used = bytes.iter().rposition(|&b| b != 0).expect("a header") + 1;
        for offset in 0..used {
            let copy = vfs.process_crash();
            copy.flip_byte(&segment_file(number), offset as u64).expect("flipped");
            let context = format!("segment {number}, offset {offset}");
            let replayed = open_damaged(&copy, &context);
            assert!(last || replayed.is_none(), "{context}: a finished segment has no torn tail");
        }
    }
}

#[test]
fn every_cut_is_found_or_costs_only_a_tail() {
    let vfs = small_log();
    for number in 1.. {
        if !vfs.exists(&segment_file(number)).expect("looked") {
            break;
        }
        let last = !vfs.exists(&segment_file(number + 1)).expect("looked");
        let bytes = read(&vfs, number);
        let used = bytes.iter().rposition(|&b| b != 0).expect("a header") + 1;
        // Every cut of a small file; of a large one those near its ends and a sample, or all in the long
        // form.
        let stride = if cases(1) > 1 { 1 } else { (used / 2500).max(1) };
        for len in (0..used).filter(|o| o % stride == 0 || *o < 200 || used - o < 100) {
            let context = format!("segment {number}, length {len}");
            let replayed = open_damaged(&with_bytes(&vfs, number, &bytes[..len]), &context);
            assert!(last || replayed.is_none(), "{context}");
        }
    }
}

#[test]
fn after_a_close_every_damaged_record_is_found() {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
    let mut one = WriteBatch::new();
    one.put(b"key", b"value");
    for _ in 0..5 {
        log.append(&one, |_| ()).expect("appended");
        log.write_out(log.appended()).expect("written");
    }
    log.close().expect("closed");
    let bytes = read(&vfs, 1);
    let trailer = (0..bytes.len()).rfind(|&at| bytes[at..].starts_with(&[16, 0, 5]));
    let trailer = trailer.expect("a trailer") - 4;
    let mut missed = 0;
    for offset in 0..trailer {
        let copy = vfs.process_crash();
        copy.flip_byte(&segment_file(1), offset as u64).expect("flipped");
        missed += u32::from(open(options(&copy, SyncPolicy::No)).is_ok());
    }
    // A damaged header hides what follows in its block, except for the trailer.
    assert_eq!(missed, 0, "of {trailer}");
}

#[test]
fn a_value_cannot_forge_a_trailer_without_knowing_its_offset() {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
    // What a client may know: the format, the number of the segment, everything but the offset.
    let mut forged = [0u8; 19 + 16];
    forged[4..6].copy_from_slice(&16u16.to_le_bytes());
    forged[6] = 5;
    forged[7..11].copy_from_slice(&1u32.to_le_bytes());
    forged[11..19].copy_from_slice(&9999u64.to_le_bytes());
    forged[19..27].copy_from_slice(&100u64.to_le_bytes());
    let crc = crc32(&forged[4..]);
    forged[..4].copy_from_slice(&crc.to_le_bytes());
    let mut batch = WriteBatch::new();
    batch.put(b"before", b"1");
    log.append(&batch, |_| ()).expect("appended");
    log.write_out(log.appended()).expect("written");
    let whole = read(&vfs, 1).iter().rposition(|&b| b != 0).expect("a record") + 1;
    batch.clear();
    batch.put(b"key", &forged.repeat(40));
    log.append(&batch, |_| ()).expect("appended");
    log.write_out(log.appended()).expect("written");
    drop(log);
    // A power failure that kept the value and lost the head of its record.
    let mut torn = read(&vfs, 1);
    torn[whole..whole + 19].fill(0);
    let (_, recovered, replayed) =
        open(options(&with_bytes(&vfs, 1, &torn), SyncPolicy::No)).expect("a torn tail");
    assert_eq!(replayed.batches.len(), 1);
    assert!(recovered.torn_tail.is_some());
}

/// CRC-32/IEEE, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Swapped, repeated and foreign segments.
#[test]
fn a_segment_in_the_place_of_another_is_found() {
    let vfs = small_log();
    let (first, second) = (read(&vfs, 1), read(&vfs, 2));
    assert!(open_damaged(&with_bytes(&vfs, 1, &second), "2 as 1").is_none());
    assert!(open_damaged(&with_bytes(&vfs, 2, &first), "1 as 2").is_none());
    assert!(open_damaged(&with_bytes(&vfs, 1, &[]), "empty").is_none());
}

/// A chunk of an undamaged segment.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    start: usize,
    end: usize,
    synced: usize,
    /// Ends a record.
    ends: bool,
}

fn chunks(bytes: &[u8]) -> Vec<Chunk> {
    let mut found = Vec::new();
    let mut at = 16;
    loop {
        if BLOCK - at % BLOCK < HEADER + 16 {
            at += BLOCK - at % BLOCK;
        }
        let Some(header) = bytes.get(at..at + HEADER) else { return found };
        if header.iter().all(|&b| b == 0) {
            return found;
        }
        let len = usize::from(u16::from_le_bytes([header[4], header[5]]));
        let synced = u64::from_le_bytes(header[11..19].try_into().expect("eight bytes"));
        let ends = matches!(header[6], 1 | 4);
        let synced = usize::try_from(synced).expect("small");
        found.push(Chunk { start: at, end: at + HEADER + len, synced, ends });
        at += HEADER + len;
    }
}

/// What the rule demands of a damaged last segment, from the knowledge of the undamaged one.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Refuse,
    /// Accept the records that end before this offset.
    Accept(usize),
    /// Refusing would be right, but the damage hides that: all promises stand behind damaged headers in
    /// their blocks, none states its own offset, and more than a header is damaged. Either.
    Either(usize),
}

fn verdict(original: &[u8], damaged: &[u8], chunks: &[Chunk]) -> Verdict {
    let intact = |c: &Chunk| damaged.get(c.start..c.end) == Some(&original[c.start..c.end]);
    let Some(first_bad) = chunks.iter().position(|c| !intact(c)) else {
        return Verdict::Accept(usize::MAX);
    };
    let bad = &chunks[first_bad];
    if first_bad == 0 {
        // The head is durable before the segment exists.
        return Verdict::Refuse;
    }
    let promises = |c: &Chunk| intact(c) && c.synced > bad.start;
    // A promise can be reached from the start of its block, or from the bad chunk, as long as the
    // headers in between are whole.
    let whole_header =
        |c: &Chunk| damaged.get(c.start..c.start + HEADER) == Some(&original[c.start..c.start + HEADER]);
    let reachable = |index: usize| {
        let block = chunks[index].start / BLOCK;
        let from = chunks.iter().position(|c| c.start / BLOCK == block).unwrap_or(index);
        chunks[from.max(first_bad)..index].iter().all(whole_header)
    };
    // Of the bad chunk, only length, type or segment number are damaged, and the next one is whole.
    let is_mendable = chunks.get(first_bad + 1).is_some_and(|next| {
        let same = |from: usize, to: usize| damaged.get(from..to) == Some(&original[from..to]);
        let kept = same(bad.start, bad.start + 4) && same(bad.start + 11, bad.end);
        kept && intact(next) && next.start / BLOCK == bad.start / BLOCK
    });
    let is_behind_mended = |index: usize| {
        is_mendable
            && chunks[index].start / BLOCK == bad.start / BLOCK
            && chunks[first_bad + 1..index].iter().all(whole_header)
    };
    let mut hidden = false;
    for (index, chunk) in chunks.iter().enumerate().skip(first_bad + 1) {
        if promises(chunk) {
            if reachable(index) || chunk.synced == chunk.start || is_behind_mended(index) {
                return Verdict::Refuse;
            }
            hidden = true;
        }
    }
    if hidden { Verdict::Either(bad.start) } else { Verdict::Accept(bad.start) }
}

/// A log that is not closed, whose records promise the one before them, or the one before that: then it was
/// written while the last sync was on its way.
#[test]
fn every_damaged_byte_of_what_a_later_record_promises_is_found() {
    for lags in [false, true] {
        let vfs = SimVfs::new();
        let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
        let mut one = WriteBatch::new();
        for n in 0..12u8 {
            one.clear();
            one.put(&[n], &[n; 60]);
            log.append(&one, |_| ()).expect("appended");
            log.sync().expect("synced");
        }
        drop(log);
        let mut bytes = read(&vfs, 1);
        let all = chunks(&bytes);
        for pair in all.windows(2).filter(|_| lags) {
            let chunk = &mut bytes[pair[1].start..pair[1].end];
            chunk[11..HEADER].copy_from_slice(&(pair[0].start as u64).to_le_bytes());
            let crc = crc32(&chunk[4..]);
            chunk[..4].copy_from_slice(&crc.to_le_bytes());
        }
        let promised = chunks(&bytes).iter().map(|chunk| chunk.synced).max().expect("chunks");
        assert!(promised > 600 && promised < BLOCK, "{promised}");
        for offset in 0..promised {
            for bit in [1, 16] {
                let mut damaged = bytes.clone();
                damaged[offset] ^= bit;
                let found = open(options(&with_bytes(&vfs, 1, &damaged), SyncPolicy::No));
                let context = format!("offset {offset} of {promised}, bit {bit}, lags: {lags}");
                assert!(matches!(found, Err(Error::Corruption { .. })), "{context}");
            }
        }
    }
}

/// A client that knows the format fills a value with chunks that promise what they like.
#[test]
fn a_value_cannot_forge_a_promise_in_its_block() {
    let vfs = SimVfs::new();
    let mut options = options(&vfs, SyncPolicy::No);
    options.segment_bytes = 1 << 20;
    let (log, ..) = open(options).expect("fresh");
    let mut batch = WriteBatch::new();
    batch.put(b"before", b"1");
    log.append(&batch, |_| ()).expect("appended");
    log.write_out(log.appended()).expect("written");
    let whole = read(&vfs, 1).iter().rposition(|&b| b != 0).expect("a record") + 1;
    let mut value = Vec::new();
    for n in 0..1000u64 {
        let mut forged = [0u8; HEADER];
        forged[6] = 1;
        forged[7..11].copy_from_slice(&1u32.to_le_bytes());
        // Each within the block, and none where it stands.
        forged[11..].copy_from_slice(&(3 + n * 19).to_le_bytes());
        let crc = crc32(&forged[4..]);
        forged[..4].copy_from_slice(&crc.to_le_bytes());
        value.extend_from_slice(&forged);
    }
    batch.clear();
    batch.put(b"key", &value);
    log.append(&batch, |_| ()).expect("appended");
    log.write_out(log.appended()).expect("written");
    drop(log);
    let bytes = read(&vfs, 1);
    // A power failure that kept the value and lost the head of its record, or some of it.
    for lost in [4..HEADER, 0..HEADER, 4..11, 4..HEADER + 20, 6..7] {
        let mut torn = bytes.clone();
        torn[whole + lost.start..whole + lost.end].fill(0);
        let (_, recovered, replayed) =
            open(crate::support::options(&with_bytes(&vfs, 1, &torn), SyncPolicy::No)).expect("a torn tail");
        assert_eq!(replayed.batches.len(), 1, "{lost:?}");
        assert!(recovered.torn_tail.is_some(), "{lost:?}");
    }
}

#[test]
fn the_torn_tail_rule_agrees_with_its_model() {
    let (mut refused, mut accepted) = (0, 0);
    for seed in 0..cases(30) {
        let mut rng = Rng::new(seed);
        let vfs = SimVfs::new();
        let mut options = options(&vfs, SyncPolicy::No);
        options.segment_bytes = 1 << 20;
        let (log, ..) = open(options).expect("fresh");
        let sync_one_in = 1 + rng.below(40);
        // How many batches end at each record end.
        let mut ends = Vec::new();
        for n in 0..20 + rng.below(100) {
            let (seq, ()) = log.append(&batch(n), |_| ()).expect("appended");
            if rng.one_in(2) {
                log.write_out(seq).expect("written");
                ends.push(n as usize + 1);
                if rng.one_in(sync_one_in) {
                    log.sync().expect("synced");
                }
            }
        }
        drop(log);
        let original = read(&vfs, 1);
        let chunks = chunks(&original);
        assert_eq!(chunks.iter().filter(|c| c.ends).count(), ends.len(), "seed {seed}");
        let used = chunks.last().expect("a head").end;
        for _ in 0..12 {
            let mut damaged = original.clone();
            // A page-cache loss, garbage, a cut, a flipped bit: mostly near the end.
            let from = if rng.one_in(3) { 16 } else { used.saturating_sub(3 * BLOCK).max(16) };
            for _ in 0..1 + rng.below(3) {
                let at = from + rng.below((used - from) as u64) as usize;
                let sector = at / 512 * 512;
                let upto = (sector + 512 * (1 + rng.below(80) as usize)).min(damaged.len());
                let sector = sector.max(16).min(upto);
                match rng.below(5) {
                    0 | 1 => damaged[sector..upto].fill(0),
                    2 => damaged[sector..upto].iter_mut().for_each(|b| *b = rng.next() as u8),
                    3 => damaged.truncate(at.min(damaged.len())),
                    _ => {
                        if let Some(byte) = damaged.get_mut(at) {
                            *byte ^= 1 << rng.below(8);
                        }
                    }
                }
                if damaged.len() <= from {
                    break;
                }
            }
            let expected = verdict(&original, &damaged, &chunks);
            let context = format!("seed {seed}, {expected:?}");
            let found = open_damaged(&with_bytes(&vfs, 1, &damaged), &context);
            let kept = |before: usize| {
                let records = chunks.iter().filter(|c| c.ends && c.end <= before).count();
                records.checked_sub(1).map_or(0, |last| ends[last])
            };
            match (expected, found) {
                (Verdict::Refuse, None) => refused += 1,
                (Verdict::Either(_), None) => {}
                (Verdict::Accept(bad) | Verdict::Either(bad), Some(found)) => {
                    assert_eq!(found.batches.len(), kept(bad), "{context}");
                    accepted += 1;
                }
                (_, found) => panic!("{context}: {:?}", found.map(|f| f.batches.len())),
            }
        }
    }
    assert!(refused > 50 && accepted > 50, "{refused} refused, {accepted} accepted");
}
