//! `latency-tracking-info-percentiles`: which percentiles INFO shows.

use super::Invalid;

/// Percentiles beyond this many would make every INFO long.
const MAX_PERCENTILES: usize = 64;

/// The percentiles that `words` name, each of 0 to 100.
///
/// # Errors
/// [`Invalid`] when a word is no number or out of range.
pub(in crate::settings) fn parse(words: &[&str]) -> Result<Vec<f64>, Invalid> {
    let malformed = || Invalid::new("Invalid latency-tracking-info-percentiles parameters");
    if words.len() > MAX_PERCENTILES {
        return Err(malformed());
    }
    let percentiles = words.iter().map(|word| {
        let percentile: f64 = word.parse().map_err(|_| malformed())?;
        if percentile.is_nan() {
            return Err(malformed());
        }
        if !(0.0..=100.0).contains(&percentile) {
            return Err(Invalid::new(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
            ));
        }
        // -0 is a zero that would be shown with its sign.
        Ok(percentile.abs())
    });
    percentiles.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_sit_between_0_and_100() {
        assert_eq!(parse(&["50", "99.95", "100"]), Ok(vec![50.0, 99.95, 100.0]));
        assert_eq!(parse(&[]), Ok(vec![]));
        for word in ["abc", "nan", ""] {
            assert_eq!(
                parse(&[word]),
                Err(Invalid::new("Invalid latency-tracking-info-percentiles parameters"))
            );
        }
        for word in ["101", "-1", "inf"] {
            assert!(parse(&[word]).unwrap_err().to_string().contains("between [0.0,100.0]"), "{word}");
        }
    }
}
