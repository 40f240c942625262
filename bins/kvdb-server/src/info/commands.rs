//! `# Commandstats`, `# Errorstats` and `# Latencystats`: a line for each command that ran and each code of an error.

use super::Asked;
use super::text::Text;
use crate::stats::{CommandTotals, command_name};
use crate::timing;

/// The commands that were called, or were refused.
#[derive(Default)]
pub(super) struct CommandStats(Vec<(&'static str, CommandTotals)>);

impl CommandStats {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        let commands = asked.totals().commands.iter().enumerate();
        let seen =
            commands.filter(|(_, totals)| totals.calls > 0 || totals.failed > 0 || totals.rejected > 0);
        Self(seen.map(|(i, &totals)| (command_name(i), totals)).collect())
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("Commandstats");
        for (name, CommandTotals { calls, nanos, failed, rejected }) in &self.0 {
            let each = if *calls == 0 { 0.0 } else { *nanos as f64 / 1000.0 / *calls as f64 };
            let micros = nanos / 1000;
            text.field(
                &format!("cmdstat_{name}"),
                format_args!("calls={calls},usec={micros},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}"),
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
    commands: Vec<(&'static str, Vec<f64>)>,
}

impl LatencyStats {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        let wanted = asked.settings.latency_tracking_info_percentiles.clone();
        if !asked.settings.latency_tracking {
            return Self::default();
        }
        let times = timing::merged(asked.node.workers.iter().map(|worker| &worker.times));
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let commands = times
            .into_iter()
            .map(|(name, h)| (name, wanted.iter().map(|&p| micros(h.value_at_percentile(p))).collect()))
            .collect();
        Self { commands, wanted }
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("Latencystats");
        for (name, values) in &self.commands {
            let values = self.wanted.iter().zip(values);
            let values: Vec<_> = values.map(|(p, micros)| format!("p{p}={micros:.3}")).collect();
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
        let line =
            |name, calls, nanos, failed, rejected| (name, CommandTotals { calls, nanos, failed, rejected });
        CommandStats(vec![line("get", 3, 10_000, 0, 0), line("client|list", 0, 0, 2, 1)]).write(&mut text);
        assert_eq!(
            text.finish(),
            "# Commandstats\r\n\
             cmdstat_get:calls=3,usec=10,usec_per_call=3.33,rejected_calls=0,failed_calls=0\r\n\
             cmdstat_client|list:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=2\r\n"
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
        LatencyStats { wanted: vec![50.0, 99.9], commands: vec![("get", vec![12.0, 340.25])] }
            .write(&mut text);
        assert_eq!(
            text.finish(),
            "# Latencystats\r\nlatency_percentiles_usec_get:p50=12.000,p99.9=340.250\r\n"
        );
    }
}
