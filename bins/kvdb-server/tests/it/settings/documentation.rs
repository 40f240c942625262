//! What `--print-config` prints, and that the documentation in the repository is what it prints.

use super::*;
use kvdb_server::settings::table;

#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let outcome = Process::new(arguments).variable("KVDB_REQUIREPASS", "hunter2").run();
    assert!(matches!(outcome.start, Start::Exit(0)), "{}", outcome.errors);
    assert!(!outcome.output.contains("hunter2"));
    assert!(outcome.output.contains("requirepass"));
    outcome.output
}

/// To bring the file in step: `kvdb-server --print-config conf > docs/kvdb.conf`, or this test with
/// `KVDB_WRITE_DOCS=1`.
#[test]
fn the_sample_file_is_in_step_with_the_table() {
    let outcome = Process::new(&["--print-config", "conf"]).run();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/kvdb.conf");
    if std::env::var_os("KVDB_WRITE_DOCS").is_some() {
        std::fs::write(path, &outcome.output).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(committed == outcome.output, "docs/kvdb.conf is not what --print-config conf prints");
}

#[test]
fn a_printed_file_gives_the_same_configuration() {
    let arguments =
        ["--hz", "20", "--save", "", "--maxmemory", "3gb", "--logfile", "/a \"b\"", "--bind", "*", "-::*"];
    let (config, _) = Process::new(&arguments).serves();
    let file = printed(&[&arguments[..], &["--print-config"]].concat());
    for line in [
        "hz 20",
        "save \"\"",
        "maxmemory 3gb",
        "logfile \"/a \\\"b\\\"\"",
        "# port 6379",
        "# requirepass <redacted>",
    ] {
        assert!(file.lines().any(|printed| printed == line), "{line} is not in\n{file}");
    }
    let (_files, process) = with_file(&file);
    let (again, _) = process.serves();
    assert_eq!(again.get(&["*"]), config.get(&["*"]));
}

#[test]
fn every_commented_line_of_the_sample_is_valid() {
    let outcome = Process::new(&["--print-config"]).run();
    let named: Vec<&str> = outcome
        .output
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| {
            table::find(line.split(' ').next().unwrap_or("")).is_some_and(|setting| setting.has_value())
        })
        // A sentence may happen to begin with the name of a setting.
        .filter(|line| line.split(' ').next() == Some("requirepass") || !line.ends_with('.'))
        .collect();
    let (_files, process) = with_file(&named.join("\n"));
    let (config, _) = process.serves();
    assert_eq!(config.get(&["*"]), Config::defaults().get(&["*"]));
}

#[test]
fn json_has_values_and_their_origin() {
    let json = printed(&["--print-config=json", "--hz", "20", "--logfile", "a\"\u{1}"]);
    for row in [
        r#"  "hz": {"value": 20, "default": 10, "source": "command line", "mutable": true, "applied": true}"#,
        r#"  "protected-mode": {"value": true, "default": true, "source": "default", "mutable": true, "applied": true}"#,
        r#"  "requirepass": {"value": "<redacted>", "default": "", "source": "environment: KVDB_REQUIREPASS", "mutable": true, "applied": true}"#,
        r#"  "logfile": {"value": "a\"\u0001", "default": "", "source": "command line", "mutable": false, "applied": true}"#,
        r#"  "daemonize": {"value": false, "default": false, "source": "default", "mutable": false, "applied": false}"#,
    ] {
        assert!(json.lines().any(|line| line.trim_end_matches(',') == row), "{row} is not in\n{json}");
    }
    assert!(json.starts_with("{\n") && json.ends_with("\n}\n"));
}

#[test]
fn markdown_has_a_row_for_every_setting() {
    let markdown = printed(&["--print-config", "md"]);
    for setting in table::all().filter(|setting| setting.has_value()) {
        assert!(markdown.contains(&format!("| `{}`", setting.name)), "{}", setting.name);
    }
    assert!(markdown.contains("| `timeout` | `0` | yes | Close a client that was idle"));
}
