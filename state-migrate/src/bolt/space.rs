//! Where a commit can write.

use std::collections::BTreeMap;

/// The pages that can be written, and those already given out.
#[derive(Debug)]
pub(super) struct Space {
    /// The first page of each run of free pages, with the run's length.
    free: BTreeMap<u64, u64>,
    high_water: u64,
    taken: Vec<(u64, u64)>,
}

impl Space {
    /// Makes a space of these pages, which must be in order, and of all from the high water mark
    /// on.
    pub(super) fn new(free: impl IntoIterator<Item = u64>, high_water: u64) -> Self {
        let mut runs = BTreeMap::new();
        let mut run: Option<(u64, u64)> = None;
        for page in free {
            run = match run {
                Some((start, length)) if start + length == page => Some((start, length + 1)),
                other => {
                    runs.extend(other);
                    Some((page, 1))
                }
            };
        }
        runs.extend(run);
        Self {
            free: runs,
            high_water,
            taken: Vec::new(),
        }
    }

    /// Gives out consecutive pages: the first that are free, or new ones at the end.
    pub(super) fn take(&mut self, count: u64) -> u64 {
        let found = self.free.iter().find(|(_, length)| **length >= count);
        let start = match found.map(|(start, length)| (*start, *length)) {
            Some((start, length)) => {
                self.free.remove(&start);
                if length > count {
                    self.free.insert(start + count, length - count);
                }
                start
            }
            None => {
                self.high_water += count;
                self.high_water - count
            }
        };
        self.taken.push((start, count));
        start
    }

    /// Returns the lowest number that no page has had.
    pub(super) fn high_water(&self) -> u64 {
        self.high_water
    }

    /// Returns every page but the two meta pages and those given out.
    pub(super) fn untaken(&self) -> Vec<u64> {
        let mut taken = self.taken.clone();
        taken.sort_unstable();
        taken.push((self.high_water, 0));
        let mut pages = Vec::new();
        let mut next = 2;
        for (start, count) in taken {
            pages.extend(next..start);
            next = start + count;
        }
        pages
    }
}

#[cfg(test)]
mod tests {
    use super::Space;

    #[test]
    fn the_first_run_that_is_long_enough_is_taken() {
        let mut space = Space::new([3, 5, 6, 9], 12);
        assert_eq!(space.take(2), 5);
        assert_eq!(space.take(1), 3);
        assert_eq!(space.take(2), 12);
        assert_eq!(space.take(1), 9);
        assert_eq!(space.high_water(), 14);
        assert_eq!(space.untaken(), [2, 4, 7, 8, 10, 11]);
    }
}
