"""Measurements of edgekit: scripts that measure or train (run), that write pages (pages), what they share (lib)."""
