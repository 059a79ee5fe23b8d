//! Output of which pieces are missing: pure.

/// By how many bytes a place is looked for at which output goes on.
const NEEDLE: usize = 24;

/// Whether `got` is a beginning of `all`, but for at most so many holes in it.
pub(crate) fn in_order(got: &[u8], all: &[u8], holes: u64) -> bool {
    // What is the same by chance, behind where a hole begins, does no harm: then
    // the rest is to be found that much later.
    let same = got.iter().zip(all).take_while(|(one, other)| one == other);
    let same = same.count();
    let (got, all) = (
        got.get(same..).unwrap_or_default(),
        all.get(same..).unwrap_or_default(),
    );
    if got.is_empty() {
        return true;
    }
    let needle = got.get(..NEEDLE).unwrap_or(got);
    holes > 0
        && all
            .windows(needle.len())
            .enumerate()
            .filter(|(_, window)| *window == needle)
            .any(|(place, _)| in_order(got, all.get(place..).unwrap_or_default(), holes - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_seen_and_counted() {
        let all: Vec<u8> = (0..500)
            .flat_map(|n| format!("line {n}\n").into_bytes())
            .collect();
        let (first, second, third) = (&all[..1000], &all[1500..2000], &all[3000..]);
        assert!(in_order(&all, &all, 0));
        assert!(in_order(first, &all, 0));
        assert!(in_order(&[], &all, 0));
        let two = [first, second, third].concat();
        assert!(in_order(&two, &all, 2));
        assert!(!in_order(&two, &all, 1));
        // In another order, twice, or with what was never written.
        assert!(!in_order(&[second, first].concat(), &all, 1));
        assert!(!in_order(&[first, first].concat(), &all, 1));
        assert!(!in_order(&[first, b"worker: "].concat(), &all, 3));
    }

    #[test]
    fn a_hole_between_things_that_are_alike_is_found() {
        let block = [7; 100];
        let all = [&block[..], b"a", &block, b"b", &block].concat();
        // The end of the first block to the middle of the last.
        let got = [&block[..90], &block[40..]].concat();
        assert!(in_order(&got, &all, 1));
        let got = [&block[..], b"a", &block[..50]].concat();
        assert!(in_order(&got, &all, 0));
    }
}
