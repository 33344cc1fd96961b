"""Recipes for the shards of a run: a Slurm array job, a Kubernetes Indexed Job, the same commands as processes.

It submits nothing: what it makes is handed to `sbatch` or `kubectl`, and read before that.
"""
