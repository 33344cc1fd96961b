"""How far a run can be spread, by queues: from what was measured on two cores to machines, hours and bytes.

`python -m benchmarks.scaling` prints the tables of docs/scaling.md, and with `--write` puts them there.
"""
