//! What fuzz targets share.

#[expect(dead_code, reason = "the tests that most of it belongs to use all of it")]
pub mod commands;

/// Running Lua.
pub mod lua {
    use kvdb_lua::{Host, Interrupt, LogLevel, Permission, Stop, VmOptions};
    use kvdb_resp::{Protocol, Reply};

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
        fn call(&mut self, args: &[&[u8]], protocol: Protocol, out: &mut Vec<u8>) -> Result<(), Interrupt> {
            Reply::new(out, protocol).bulk(args[args.len() - 1]);
            Ok(())
        }

        fn check_permission(&mut self, _args: &[&[u8]]) -> Permission {
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
