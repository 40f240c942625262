//! Random numbers from the random bits of a run.
//!
//! A run is given 64 random bits and no more, so that it can be told again. Commands that need many numbers expand them:
//! SplitMix64 (Steele, Lea and Flood, 2014), and bounds without bias by multiplication and rejection (Lemire, 2019).

/// A generator of random numbers, the same ones for the same bits. Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator that expands these bits.
    pub fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, each as likely as any other.
    ///
    /// # Panics
    /// When the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "there is no number below 0");
        let bound = bound as u64;
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            let low = product as u64;
            // Of the products, some values of the upper half come up once more often than others; their surplus is
            // drawn again.
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as usize;
            }
        }
    }

    /// Which of `len` things a sample of `count` of them has: ascending positions, every sample as likely as another.
    /// (Selection sampling: Knuth, volume 2, algorithm 3.4.2 S.)
    pub fn positions(&mut self, len: usize, count: usize) -> impl Iterator<Item = usize> {
        let mut wanted = count.min(len);
        (0..len).filter(move |&at| {
            let taken = wanted > 0 && self.below(len - at) < wanted;
            wanted -= usize::from(taken);
            taken
        })
    }

    /// Puts `count` elements in front, each choice of them in each order as likely as any other.
    pub fn choose<T>(&mut self, elements: &mut [T], count: usize) {
        for at in 0..count.min(elements.len()) {
            let other = at + self.below(elements.len() - at);
            elements.swap(at, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_a_bound_is_as_likely_as_another() {
        let mut random = Random::new(1);
        let mut counts = [0u32; 7];
        (0..70_000).for_each(|_| counts[random.below(7)] += 1);
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn a_sample_has_its_size_and_every_position_its_chance() {
        let mut random = Random::new(7);
        let mut hits = [0u32; 10];
        for _ in 0..10_000 {
            let sample: Vec<usize> = random.positions(10, 3).collect();
            assert_eq!(sample.len(), 3);
            assert!(sample.is_sorted());
            sample.into_iter().for_each(|at| hits[at] += 1);
        }
        assert!(hits.iter().all(|&hits| (2_700..3_300).contains(&hits)), "{hits:?}");
        assert_eq!(random.positions(4, 9).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn every_choice_is_as_likely_as_another() {
        let mut random = Random::new(2);
        let mut counts = [0u32; 16];
        for _ in 0..60_000 {
            let mut elements = [0, 1, 2, 3];
            random.choose(&mut elements, 2);
            counts[elements[0] * 4 + elements[1]] += 1;
        }
        for (pair, count) in counts.into_iter().enumerate() {
            let expected = if pair / 4 == pair % 4 { 0..1 } else { 4_600..5_400 };
            assert!(expected.contains(&count), "{pair}: {count}");
        }
    }
}
