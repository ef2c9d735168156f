"""Folders that the scripts read from and write to."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs"
SHARED = ROOT.parent / "shared"  # photos that are not part of the repository
