"""Commands that show what a store holds: runs, results, trials from item to score."""
