"""Scripts that measure or train (run), scripts that write pages and tables (pages), and what they share (lib).

Run them from the root of the repository, e.g. ``python -m benchmarks.run.peers``.
"""
