"""What came of a video or camera, as a table for a terminal."""

from __future__ import annotations

from rich.table import Table

from edgekit.inference.live import Stream
from edgekit.report.tables import counted, two_columns


def stream_table(stream: Stream) -> Table:
    """Frames, speed by stage, and the files written."""
    table = two_columns(f"{counted(stream.objects, 'object')} in {counted(stream.frames, 'frame')}")
    table.add_row("source", stream.source)
    speed = f"{stream.frames_per_second:.1f} frames a second, {stream.frames} in {stream.seconds:.1f} s"
    table.add_row("speed", speed + (f", {stream.dropped} dropped" if stream.dropped else ""))
    stages = f"decoding {stream.decode_ms:.1f}, inference {stream.inference_ms:.1f}, drawing {stream.drawing_ms:.1f}"
    table.add_row("ms a frame", f"{stages} (medians; they overlap)")
    table.add_row("ended", stream.ended if stream.problem is None else stream.problem)
    if stream.refitted:
        table.add_row("other sizes", f"{stream.refitted} frames were scaled to the first one's size for the video")
    for name, path in (("video", stream.output), ("JSON lines", stream.jsonl)):
        if path is not None:
            table.add_row(name, str(path))
    return table
