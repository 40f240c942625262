//! Making a failing list shorter.

/// Removes what is not needed for `fails` to stay true: first halves, then quarters, and so on down to single elements,
/// until none can go (delta debugging: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
/// At most `attempts` lists are tried.
pub(super) fn shrink<T: Clone, E>(
    mut list: Vec<T>,
    mut attempts: usize,
    mut fails: impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<Vec<T>, E> {
    let mut size = list.len().div_ceil(2);
    while size > 0 {
        let mut removed = false;
        // From the end, because what comes late depends on what is early.
        let mut end = list.len();
        while end > 0 && attempts > 0 {
            let start = end.saturating_sub(size);
            let without = [&list[..start], &list[end..]].concat();
            attempts -= 1;
            if fails(&without)? {
                list = without;
                removed = true;
            }
            end = start;
        }
        if size == 1 && (!removed || attempts == 0) {
            break;
        }
        size = if size == 1 { 1 } else { size.div_ceil(2) };
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn what_is_needed_stays() {
        let list: Vec<u32> = (0..1000).collect();
        let mut tried = 0;
        let needed = |list: &[u32]| {
            tried += 1;
            Ok::<_, Infallible>([17, 500, 501, 999].iter().all(|needed| list.contains(needed)))
        };
        assert_eq!(shrink(list, usize::MAX, needed), Ok(vec![17, 500, 501, 999]));
        assert!(tried < 200, "{tried}");
    }

    #[test]
    fn the_number_of_attempts_is_bounded() {
        let mut tried = 0;
        let shrunk = shrink((0..100).collect::<Vec<u32>>(), 10, |list| {
            tried += 1;
            Ok::<_, Infallible>(list.contains(&42))
        });
        assert!(shrunk.is_ok_and(|list| list.contains(&42)) && tried == 10);
    }

    #[test]
    fn an_empty_list_is_as_short_as_it_gets() {
        assert_eq!(shrink(Vec::<u32>::new(), 10, |_| Ok::<_, Infallible>(true)), Ok(vec![]));
    }
}
