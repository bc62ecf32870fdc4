//! Numbers that a seed decides.

use balance::mix::mix;

/// A row of numbers that look random.
pub(crate) struct Chance {
    seed: u64,
    asked: u64,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed: mix(seed), asked: 0 }
    }

    /// From 0 to below `end`, which is above 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.asked += 1;
        mix(self.seed ^ mix(self.asked)) % end
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
