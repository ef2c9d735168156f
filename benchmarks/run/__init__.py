"""Scripts that measure or train, each with a result file in benchmarks/results."""
