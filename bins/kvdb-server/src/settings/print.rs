//! `--print-config`: the configuration as a documented file, as JSON, or as a table.
//!
//! Secrets are never among what is printed.

use std::fmt::Write;

use super::command_line::Format;
use super::config::Config;
use super::held::default_text;
use super::rewrite::directive;
use super::source::Origin;
use super::table::{AREAS, Applied, Kind, Setting, Unit};

/// What stands for a secret that is set.
const REDACTED: &str = "<redacted>";

/// Comments of a configuration file are wrapped at this column.
const WIDTH: usize = 90;

/// The configuration in the given form.
#[must_use]
pub fn print(config: &Config, format: Format) -> String {
    match format {
        Format::Conf => conf(config),
        Format::Json => json(config),
        Format::Markdown => markdown(config),
    }
}

/// A configuration file: every setting with its explanation, those with their default as comments.
fn conf(config: &Config) -> String {
    let mut text = String::new();
    let opening = "The configuration of KVDB. Every line that is commented out shows the default. A line is a name \
                   and its values; quotes and escapes are those of redis.conf, and the settings of Redis are understood. \
                   Sizes may have units: 1k is 1000 bytes, 1kb 1024, and so on with m and g, in any case. Every \
                   setting can also be given in the environment (maxmemory as KVDB_MAXMEMORY) and on the command line \
                   (--maxmemory 4gb), and most of them be changed with CONFIG SET; CONFIG REWRITE writes them here.";
    comment(&mut text, opening);
    for area in AREAS {
        let _ = write!(text, "\n# {0}\n# {1}\n# {0}\n", "-".repeat(WIDTH - 2), area.title);
        if area.settings.iter().any(|setting| setting.apply == Applied::Apply) {
            for setting in area.settings.iter().filter(|setting| setting.apply == Applied::Apply) {
                text.push('\n');
                comment(&mut text, &explained(setting));
                let _ = writeln!(text, "{}", line(config, setting));
            }
        }
        accepted(&mut text, config, area.settings);
    }
    text
}

/// The settings of an area that only exist for compatibility, by the reason that they share.
fn accepted(text: &mut String, config: &Config, settings: &[Setting]) {
    let mut rest: Vec<(&str, &Setting)> = settings
        .iter()
        .filter_map(|setting| match setting.apply {
            Applied::AcceptedOnly(reason) if setting.has_value() => Some((reason, setting)),
            _ => None,
        })
        .collect();
    while let Some((reason, _)) = rest.first().copied() {
        text.push('\n');
        comment(text, &format!("Accepted, without an effect: {reason}."));
        for (_, setting) in rest.extract_if(.., |(other, _)| *other == reason) {
            let _ = writeln!(text, "{}", line(config, setting));
        }
    }
}

/// The line of a setting in a configuration file; a comment when it says nothing new.
fn line(config: &Config, setting: &Setting) -> String {
    if !setting.has_value() {
        return format!("# {} /path/to/another.conf", setting.name);
    }
    let held = config.held().text(setting.name);
    if setting.kind == Kind::Secret {
        let shown = if held.is_empty() { "\"\"" } else { REDACTED };
        return format!("# {} {shown}", setting.name);
    }
    let mark = if held == default_text(setting) { "# " } else { "" };
    format!("{mark}{}", directive(setting, held))
}

/// What a setting does, its range and whether it can be changed.
fn explained(setting: &Setting) -> String {
    let mut text = setting.doc.to_owned();
    if let Some(range) = range(setting.kind) {
        let _ = write!(text, " Values: {range}.");
    }
    if !setting.mutable && setting.has_value() {
        text.push_str(" Read at the start only.");
    }
    text
}

/// The values a kind allows, in words.
fn range(kind: Kind) -> Option<String> {
    let span = |min: String, max: Option<String>| {
        max.map_or_else(|| format!("{min} and more"), |max| format!("{min} to {max}"))
    };
    match kind {
        Kind::Bool => Some("yes, no".to_owned()),
        Kind::Int { min, max, unit } => {
            let max = Some(max).filter(|max| *max < i64::from(i32::MAX)).map(|max| max.to_string());
            let unit = match unit {
                Unit::None => "",
                Unit::Seconds => ", in seconds",
                Unit::Millis => ", in milliseconds",
                Unit::Micros => ", in microseconds",
            };
            Some(format!("{}{unit}", span(min.to_string(), max)))
        }
        Kind::Clamped { min, max } => Some(format!("{min} to {max}; others are moved into the range")),
        Kind::Memory { min, max } => {
            let size = super::memory_size::format;
            Some(span(size(min), Some(max).filter(|max| *max < i64::MAX as u64).map(size)))
        }
        Kind::Enum(names) => Some(names.join(", ")),
        _ => None,
    }
}

/// Adds a comment, wrapped.
fn comment(text: &mut String, sentence: &str) {
    let mut column = 0;
    for word in sentence.split(' ') {
        if column > 0 && column + 1 + word.len() <= WIDTH {
            text.push(' ');
            column += 1 + word.len();
            text.push_str(word);
            continue;
        }
        if column > 0 {
            text.push('\n');
        }
        text.push_str("# ");
        text.push_str(word);
        column = 2 + word.len();
    }
    text.push('\n');
}

/// One object: for each setting its value, its default, where it was set, and what holds for it.
fn json(config: &Config) -> String {
    let mut rows = Vec::new();
    for setting in AREAS.iter().flat_map(|area| area.settings).filter(|setting| setting.has_value()) {
        let value = config.held().value(setting.name);
        let shown = |text: &str| match setting.kind {
            Kind::Secret if !text.is_empty() => json_string(REDACTED),
            Kind::Bool => (text == "yes").to_string(),
            Kind::Int { .. } | Kind::Clamped { .. } | Kind::Memory { .. } => text.to_owned(),
            _ => json_string(text),
        };
        let source = match &value.origin {
            Origin::Default => "default".to_owned(),
            origin => origin.to_string(),
        };
        rows.push(format!(
            "  {}: {{\"value\": {}, \"default\": {}, \"source\": {}, \"mutable\": {}, \"applied\": {}}}",
            json_string(setting.name),
            shown(&value.text),
            shown(&default_text(setting)),
            json_string(&source),
            setting.mutable,
            setting.apply == Applied::Apply
        ));
    }
    format!("{{\n{}\n}}\n", rows.join(",\n"))
}

fn json_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A table for each area.
fn markdown(config: &Config) -> String {
    let mut text = String::from("# Settings\n");
    for area in AREAS {
        let _ = write!(
            text,
            "\n## {}\n\n| Name | Value | At run time | Meaning |\n|---|---|---|---|\n",
            area.title
        );
        for setting in area.settings.iter().filter(|setting| setting.has_value()) {
            let held = config.held().text(setting.name);
            let value = match setting.kind {
                Kind::Secret if !held.is_empty() => REDACTED.to_owned(),
                _ => directive(setting, held)[setting.name.len() + 1..].to_owned(),
            };
            let meaning = match setting.apply {
                Applied::Apply => explained(setting),
                Applied::AcceptedOnly(reason) => format!("Accepted, without an effect: {reason}."),
                Applied::Refused(reason) => format!("Refused: {reason}."),
            };
            let name = setting.alias.map_or_else(
                || format!("`{}`", setting.name),
                |alias| format!("`{}`, `{alias}`", setting.name),
            );
            let mutable = if setting.mutable { "yes" } else { "no" };
            let value = value.replace('|', "\\|");
            let meaning = meaning.replace('|', "\\|");
            let _ = writeln!(text, "| {name} | `{value}` | {mutable} | {meaning} |");
        }
    }
    text
}
