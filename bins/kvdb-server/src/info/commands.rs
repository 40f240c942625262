//! `# Commandstats`, `# Errorstats` and `# Latencystats`: a line for each command that ran and each code of an error.

use super::Asked;
use super::text::Text;
use crate::stats::command_name;

/// One command: its name, calls, nanoseconds and failures.
struct CommandLine {
    name: &'static str,
    calls: u64,
    nanos: u64,
    failed: u64,
}

/// The commands that were called.
#[derive(Default)]
pub(super) struct CommandStats(Vec<CommandLine>);

impl CommandStats {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        let commands = asked.totals().commands.iter().enumerate();
        let called = commands.filter(|(_, (calls, _, failed))| *calls > 0 || *failed > 0);
        Self(
            called
                .map(|(i, &(calls, nanos, failed))| CommandLine {
                    name: command_name(i),
                    calls,
                    nanos,
                    failed,
                })
                .collect(),
        )
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("Commandstats");
        for CommandLine { name, calls, nanos, failed } in &self.0 {
            let each = if *calls == 0 { 0.0 } else { *nanos as f64 / 1000.0 / *calls as f64 };
            let micros = nanos / 1000;
            // A command that may not run, or not with these arguments, is refused before it is counted.
            text.field(
                &format!("cmdstat_{name}"),
                format_args!("calls={calls},usec={micros},usec_per_call={each:.2},rejected_calls=0,failed_calls={failed}"),
            );
        }
    }
}

/// The codes of errors that were replied, with how often.
#[derive(Default)]
pub(super) struct ErrorStats(Vec<(String, u64)>);

impl ErrorStats {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        Self(asked.totals().errors.iter().map(|(code, count)| (code.clone(), *count)).collect())
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("Errorstats");
        for (code, count) in &self.0 {
            text.field(&format!("errorstat_{}", plain(code)), format_args!("count={count}"));
        }
    }
}

/// A name without what has a meaning in this text, as Redis shows it.
fn plain(name: &str) -> String {
    name.replace(['#', ':', '\n', '\r', ',', '='], "_")
}

/// The wanted percentiles, and for each command its values in microseconds.
#[derive(Default)]
pub(super) struct LatencyStats {
    wanted: Vec<f64>,
    commands: Vec<(&'static str, Vec<u64>)>,
}

impl LatencyStats {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        let wanted = asked.settings.latency_tracking_info_percentiles.clone();
        if !asked.settings.latency_tracking {
            return Self::default();
        }
        Self { commands: asked.node.latency.percentiles(&wanted), wanted }
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("Latencystats");
        for (name, values) in &self.commands {
            let values = self.wanted.iter().zip(values);
            let values: Vec<_> = values.map(|(p, micros)| format!("p{p}={:.3}", *micros as f64)).collect();
            text.field(&format!("latency_percentiles_usec_{name}"), values.join(","));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_the_form_that_exporters_match() {
        let mut text = Text::default();
        let line = |name, calls, nanos, failed| CommandLine { name, calls, nanos, failed };
        CommandStats(vec![line("get", 3, 10_000, 0), line("client|list", 0, 0, 2)]).write(&mut text);
        assert_eq!(
            text.finish(),
            "# Commandstats\r\n\
             cmdstat_get:calls=3,usec=10,usec_per_call=3.33,rejected_calls=0,failed_calls=0\r\n\
             cmdstat_client|list:calls=0,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=2\r\n"
        );
    }

    #[test]
    fn errors_are_counted_by_code() {
        let mut text = Text::default();
        ErrorStats(vec![("ERR".into(), 5), ("A:B=\n".into(), 1)]).write(&mut text);
        assert_eq!(text.finish(), "# Errorstats\r\nerrorstat_ERR:count=5\r\nerrorstat_A_B__:count=1\r\n");
    }

    #[test]
    fn percentiles_are_named_as_they_were_asked_for() {
        let mut text = Text::default();
        LatencyStats { wanted: vec![50.0, 99.9], commands: vec![("get", vec![12, 340])] }.write(&mut text);
        assert_eq!(
            text.finish(),
            "# Latencystats\r\nlatency_percentiles_usec_get:p50=12.000,p99.9=340.000\r\n"
        );
    }
}
