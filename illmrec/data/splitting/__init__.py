"""From interactions to what is learned from and what is tested: k-core, splits, negatives."""
