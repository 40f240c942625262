//! The known name nearest to a misspelt one, for the error message.

use super::table;

/// Words that people try and no spelling distance would lead from.
const SYNONYMS: [(&str, &str); 6] = [
    ("password", "requirepass"),
    ("auth", "requirepass"),
    ("host", "bind"),
    ("address", "bind"),
    ("data-dir", "dir"),
    ("threads", "workers"),
];

/// The setting whose name is nearest to `word`, when one is near enough to be what was meant.
pub(super) fn nearest(word: &str) -> Option<&'static str> {
    // `--port=6379` is a habit from other programs: the part before the sign is the name.
    let name =
        word.split('=').next().unwrap_or(word).trim_start_matches('-').replace('_', "-").to_ascii_lowercase();
    // No setting's name is near anything this long, and the distance costs its square.
    if name.is_empty() || name.len() > 64 {
        return None;
    }
    if let Some((_, meant)) = SYNONYMS.iter().find(|(tried, _)| *tried == name) {
        return Some(meant);
    }
    let allowed = 1 + name.len() / 4;
    table::all()
        .flat_map(|setting| std::iter::once(setting.name).chain(setting.alias))
        .map(|known| (distance(name.as_bytes(), known.as_bytes()), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_lead_to_the_name() {
        for (word, meant) in [
            ("maxmemroy", "maxmemory"),
            ("max_memory", "maxmemory"),
            ("--port=6379", "port"),
            ("requirepas", "requirepass"),
            ("password", "requirepass"),
            ("appendfsnyc", "appendfsync"),
            ("Prot", "port"),
        ] {
            assert_eq!(nearest(word), Some(meant), "{word}");
        }
        for word in ["", "=", "completely-unlike-anything", "x"] {
            assert_eq!(nearest(word), None, "{word}");
        }
        assert_eq!(nearest(&"p".repeat(1000)), None);
    }

    #[test]
    fn distance_counts_a_swap_once() {
        assert_eq!(distance(b"ab", b"ba"), 1);
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"abc", b"abc"), 0);
    }
}
