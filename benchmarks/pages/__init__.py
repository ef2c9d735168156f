"""Scripts that write pages and tables from the files in benchmarks/results."""
