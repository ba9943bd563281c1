"""One claim a file: python -m benchmarks.NAME; the last line printed is JSON. Committed figures are in results/."""
