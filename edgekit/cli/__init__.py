"""The command line: parse, call one function, render. The only package that prints or exits."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType

import click

from edgekit import __version__
from edgekit.cli.cmd_adapt import adapt_command
from edgekit.cli.cmd_bench import bench_command
from edgekit.cli.cmd_check import check_command
from edgekit.cli.cmd_compare import compare_command
from edgekit.cli.cmd_demo import demo_command
from edgekit.cli.cmd_doctor import doctor_command
from edgekit.cli.cmd_eval import eval_command
from edgekit.cli.cmd_export import export_command
from edgekit.cli.cmd_inspect import inspect_command
from edgekit.cli.cmd_install import install_command, remove_command
from edgekit.cli.cmd_predict import predict_command
from edgekit.errors import EdgekitError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="edgekit")
def cli() -> None:
    """Add classes to a trained Mask R-CNN or Faster R-CNN, export it for edge devices, measure what it costs.

    MODEL and BASE are a file (.safetensors, .pt, .pth, .ckpt, .bin, .pkl, .onnx), a folder that edgekit export wrote,
    torchvision's name of a model, e.g. maskrcnn_resnet50_fpn, or "demo", the model that comes with edgekit.
    """


WORK = (check_command, adapt_command, export_command, install_command, remove_command, predict_command)
for command in (*WORK, eval_command, bench_command, compare_command, inspect_command, doctor_command, demo_command):
    cli.add_command(command)


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a service manager or a batch system sends it: it ends a command as Ctrl-C does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0; 1, a user's error; 2, usage; 3, a bug; 130, Ctrl-C; 143, SIGTERM.
    """
    try:
        with _terminable():
            code = cli.main(args=arguments, prog_name="edgekit", standalone_mode=False)
    except EdgekitError as error:
        click.echo(f"edgekit: {error}", err=True)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        click.echo("edgekit: interrupted; no output was left half-written", err=True)
        return 143 if isinstance(error.__cause__ or error, Terminated) else 130  # 128 and the signal
    except BrokenPipeError:
        return 1
    except Exception:
        traceback.print_exc()
        click.echo(f"edgekit {__version__}, Python {sys.version.split()[0]}: this is a bug, please report it", err=True)
        return 3
    return code if isinstance(code, int) else 0  # what a command gave to ctx.exit()


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM raise, so that temporary files are removed and a video is finished."""

    def terminate(signal_number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a handler's signature)
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
