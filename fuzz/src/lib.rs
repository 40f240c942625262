//! What fuzz targets share.

#[expect(dead_code, reason = "the tests that most of it belongs to use all of it")]
pub mod commands;

/// Running Lua.
pub mod lua {
    use kvdb_lua::{Host, Interrupt, LogLevel, Permission, Stop, VmOptions};
    use kvdb_resp::{Args, Protocol, Reply};

    /// Little enough that no input takes long.
    pub const LIMITS: VmOptions = VmOptions { memory_limit: 8 << 20, max_reply: 1 << 20 };

    /// A host whose commands echo their last argument, and which stops scripts soon.
    #[derive(Debug, Default)]
    pub struct Impatient {
        polls: u32,
    }

    impl Impatient {
        /// Whether a script was told to stop.
        #[must_use]
        pub fn was_stopped(&self) -> bool {
            self.polls > 100
        }
    }

    impl Host for Impatient {
        fn call(&mut self, args: Args<'_>, protocol: Protocol, out: &mut Vec<u8>) -> Result<(), Interrupt> {
            Reply::new(out, protocol).bulk(&args[args.len() - 1]);
            Ok(())
        }

        fn check_permission(&mut self, _args: Args<'_>) -> Permission {
            Permission::Granted
        }

        fn log(&mut self, _level: LogLevel, _message: &[u8]) {}

        fn should_stop(&mut self) -> Option<Stop> {
            self.polls += 1;
            self.was_stopped().then_some(Stop::Kill)
        }

        fn seed(&mut self) -> i32 {
            0
        }

        fn cpu_seconds(&mut self) -> f64 {
            0.0
        }
    }
}

/// Segments of the log of the storage engine.
pub mod wal {
    const BLOCK: usize = 32 * 1024;
    const CHUNK_HEADER: usize = 19;

    /// Gives every chunk that the length fields lead to the right segment number and checksum.
    pub fn put_right(segment: &mut [u8], number: u32) {
        if segment.len() < 16 {
            return;
        }
        segment[..12].copy_from_slice(b"KVDBFILE\x01\x01\0\0");
        let crc = crc32fast::hash(&segment[..12]);
        segment[12..16].copy_from_slice(&crc.to_le_bytes());
        let mut at = 16;
        while at + CHUNK_HEADER <= segment.len() {
            let room = BLOCK - at % BLOCK;
            if room < CHUNK_HEADER + 16 {
                at += room;
                continue;
            }
            let len = usize::from(u16::from_le_bytes([segment[at + 4], segment[at + 5]]));
            let len = len.min(room - CHUNK_HEADER).min(segment.len() - at - CHUNK_HEADER);
            segment[at + 4..at + 6].copy_from_slice(&(len as u16).to_le_bytes());
            segment[at + 7..at + 11].copy_from_slice(&number.to_le_bytes());
            let end = at + CHUNK_HEADER + len;
            let crc = crc32fast::hash(&segment[at + 4..end]);
            segment[at..at + 4].copy_from_slice(&crc.to_le_bytes());
            at = end;
        }
    }
}
