"""Ask, watch, judge, tell: `python -m tests.soak --help`.

The exit status is 1 where anything was wrong.
"""

import argparse
import faulthandler
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_azure_phi3 import ChatAzurePhi3
from tests.markdown import inserted
from tests.soak import judging, report
from tests.soak.asking import Asking
from tests.soak.complaints import overheard
from tests.soak.instances import Instances
from tests.soak.judging import Endings, Level, Sample
from tests.soak.picture import picture
from tests.soak.serving import Server, serving
from tests.soak.watching import Watch, objects

_RETRIES = 2
_SHOWN = 30


@dataclass(frozen=True, slots=True)
class _Load:
    endings: Endings
    levels: list[Level]
    samples: list[Sample]
    threads_asked: int
    seconds: float


def _given(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="how many questions (20,000)")
    parser.add_argument("--concurrency", type=int, default=256, help="how many at once (256)")
    parser.add_argument("--instances", type=int, default=10_000, help="how many models (10,000)")
    parser.add_argument("--seed", type=int, default=1, help="what is asked, and what fails (1)")
    parser.add_argument(
        "--timeout", type=float, default=10.0, help="seconds until silence is an error (10)"
    )
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds for all (1200)")
    parser.add_argument("--page", type=Path, help="a page for the figures, if nothing is wrong")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Both parts, one after the other."""
    given = _given(arguments)
    # What never ends is shown where it hangs.
    faulthandler.dump_traceback_later(given.limit, exit=True)
    with overheard() as complaints, serving(given.seed) as server:
        instances = Instances(server, count=given.instances, seed=given.seed)
        watch = Watch(server, "instances", given.instances)
        watch.over(instances)
        server.storm()
        load = _under_load(server, given)
    faulthandler.cancel_dump_traceback_later()
    levels = [*judging.levels(watch.before, watch.samples, watch.after), instances.objects]
    wrong = [
        *load.endings.wrong,
        *judging.misordered(load.endings.requests),
        *(f"under load, {line}" for line in judging.growing(load.levels)),
        *instances.wrong,
        *(f"with instances, {line}" for line in judging.growing(levels)),
        *complaints,
    ]
    text = "\n\n".join(
        (
            _summary(load, given),
            report.fates_table(load.endings),
            report.levels_table(load.levels, levels),
        )
    )
    print(f"\n{text}\n")
    if given.page is not None and len(wrong) == 0:
        _write(given.page, text, load.samples)
    return _told(wrong)


def _under_load(server: Server, given: argparse.Namespace) -> _Load:
    model = ChatAzurePhi3(
        endpoint=server.endpoint,
        credential=server.key,
        timeout=(30.0, given.timeout),
        max_retries=_RETRIES,
    )
    asking = Asking(model, count=given.requests, concurrency=given.concurrency, seed=given.seed)
    watch = Watch(server, "load", given.requests)
    began, held = time.monotonic(), objects()
    watch.over(asking)
    seconds, threads_asked = time.monotonic() - began, asking.threads_asked
    endings = judging.endings(asking.ended, asking.meetings, _RETRIES + 1)
    asking.ended.clear()
    left = Level("objects", None, None, objects() - held)
    levels = [*judging.levels(watch.before, watch.samples, watch.after), left]
    return _Load(endings, levels, watch.samples, threads_asked, seconds)


def _summary(load: _Load, given: argparse.Namespace) -> str:
    return report.summary(
        load.endings,
        concurrency=given.concurrency,
        threads_asked=load.threads_asked,
        instances=given.instances,
        seconds=load.seconds,
    )


def _write(page: Path, text: str, samples: Sequence[Sample]) -> None:
    image = page.with_name("soak.svg")
    image.write_text(picture(samples), encoding="utf-8")
    text += f"\n\n![What the run holds over time]({image.name})"
    page.write_text(
        inserted(page.read_text("utf-8"), text, report.BEGIN, report.END), encoding="utf-8"
    )


def _told(wrong: Sequence[str]) -> int:
    for line in wrong[:_SHOWN]:
        print(line, file=sys.stderr)
    if len(wrong) > _SHOWN:
        print(f"... and {len(wrong) - _SHOWN:,} more", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
