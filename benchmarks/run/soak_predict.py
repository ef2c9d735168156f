"""Whether ``edgekit predict`` holds its memory over a looping video: within 5% after the first minute.

    python -m benchmarks.run.soak_predict --minutes 20

A video of demo scenes is drawn, played over and over through the whole pipeline (decoding, inference in onnxruntime,
drawing, encoding, JSON lines), and this process's resident memory is sampled once a second by edgekit's own telemetry.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import edgekit
from benchmarks.lib.paths import RESULTS
from edgekit.artifacts.metadata import tool_versions
from edgekit.data.frames import Frame, Frames
from edgekit.data.images import fit, read_image
from edgekit.data.video import VideoFile, open_video
from edgekit.demo.photo_sets import write_demo_set
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import write_text
from edgekit.inference.live import watch
from edgekit.measurement.machine.system import machine
from edgekit.measurement.telemetry.sampler import Sampler

RESULT = RESULTS / "soak_predict.json"
SIZE, PHOTOS, REPEATS, RATE = (320, 320), 20, 5, 25.0
WARM_UP = 60.0  # seconds
ALLOWED = 0.05


class Loop:
    """A video that begins again at its end, until a time is over."""

    live = False
    expected: int | None = None

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.name, self.until = path, f"{path.name}, looping", time.monotonic() + seconds
        self.video: Frames = open_video(path)
        self.rate, self.loops, self.count = self.video.rate, 1, 0

    def read(self) -> Frame | None:
        if time.monotonic() > self.until:
            return None
        frame = self.video.read()
        if frame is None:
            self.video.close()
            self.video, self.loops = open_video(self.path), self.loops + 1
            frame = self.video.read()
        if frame is None:
            return None
        self.count += 1
        return Frame(frame.pixels, self.count - 1, (self.count - 1) / self.rate)

    def problem(self) -> EdgekitError | None:
        return None

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self.video.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long; more than the first minute")
    parser.add_argument("--model", default=None, help="model to run  [default: the demo model, exported to ONNX]")
    parser.add_argument("--output", type=Path, default=RESULT, help="result file to write (.json)")
    args = parser.parse_args()
    if 60 * args.minutes <= WARM_UP:
        parser.error("--minutes: give more than 1")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = args.model or str(exported(work))
        video = draw_video(work)
        session = edgekit.load(model)
        source = Loop(video, 60 * args.minutes)
        with Sampler(interval=1.0) as sampler:
            stream = watch(session, source, work / "out.mp4", work / "found.jsonl")
    telemetry = sampler.result
    series = telemetry.series if telemetry else ()
    memory = next((s for s in series if (s.what, s.unit) == ("process", "MB")), None)
    if telemetry is None or memory is None:
        raise EdgekitError("psutil is not installed, and measures the memory", "pip install 'edgekit[telemetry]'")
    seconds, resident = np.array(memory.seconds), np.array(memory.values)
    first = float(np.median(resident[(seconds > WARM_UP - 5) & (seconds < WARM_UP + 5)]))
    after = resident[seconds >= WARM_UP]
    growth, shrinkage = float(after.max()) / first - 1, 1 - float(after.min()) / first
    every = max(1, len(seconds) // 120)
    result = {
        "minutes": args.minutes,
        "model": args.model or "demo, ONNX",
        "runtime": session.runtime,
        "input_size": session.meta.input_size,
        "frames": stream.frames,
        "loops": source.loops,
        "objects": stream.objects,
        "frames_per_second": stream.frames_per_second,
        "stage_ms": {"decode": stream.decode_ms, "inference": stream.inference_ms, "drawing": stream.drawing_ms},
        "resident_mb_after_a_minute": round(first, 1),
        "resident_mb_largest_later": round(float(after.max()), 1),
        "largest_growth": round(growth, 4),
        "largest_shrinkage": round(shrinkage, 4),
        "allowed": ALLOWED,
        "within": max(growth, shrinkage) <= ALLOWED,
        "sampling_core_share": telemetry.core_share,
        "resident_mb": [[round(float(s)), round(float(m), 1)] for s, m in zip(seconds, resident, strict=True)][::every],
        "torch_loaded": "torch" in sys.modules,
        "machine": machine(),
        "versions": tool_versions(),
    }
    write_text(args.output, json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "resident_mb"}, indent=1))
    return 0 if result["within"] else 1


def exported(work: Path) -> Path:
    """The demo model as ONNX, written by another process: torch's memory would make any growth look small."""
    command = [sys.executable, "-m", "edgekit", "export", "demo", "-o", str(work / "demo.onnx"), "--no-verify"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return work / "demo.onnx"


def draw_video(work: Path) -> Path:
    """Demo scenes with objects, each a few frames long."""
    scenes = write_demo_set("mixed-test", PHOTOS, work / "scenes", seed=3)
    path = work / "in.mp4"
    video = VideoFile(path, SIZE, RATE, path)
    for photo in scenes.photos:
        pixels = fit(read_image(photo.path), SIZE).pixels
        for _ in range(REPEATS):
            video.write(pixels)
    video.close()
    return path


if __name__ == "__main__":
    sys.exit(main())
