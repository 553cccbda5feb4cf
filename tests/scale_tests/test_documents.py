"""The programs of the pages on Ray, Spark, Dask and Daft run."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.scale_tests.conftest import ROOT, Redis, StartEmulator, write_prompts

BLOCK = re.compile(r"^```py\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROGRAMS = [
    pytest.param(code, id=f"{page} {n}")
    for page in ("ray", "spark", "dask-daft")
    for n, code in enumerate(BLOCK.findall((ROOT / f"docs/how-to/{page}.md").read_text("utf-8")))
]


@pytest.mark.long
@pytest.mark.parametrize("code", PROGRAMS)
def test_documented_program_runs(
    code: str, emulator: StartEmulator, redis: Redis, tmp_path: Path
) -> None:
    """It answers every row, and a program that continues answers them once."""
    engine = next(
        name
        for name in ("ray", "pyspark", "dask", "daft")
        if f"import {name}" in code or f"from {name}" in code
    )
    if find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    phi = emulator()
    write_prompts(tmp_path / "prompts.parquet", 100)
    code = code.replace("/tmp/", f"{tmp_path}/").replace("redis://localhost:6379", redis.uri)
    (tmp_path / "program.py").write_text(code, encoding="utf-8")
    env = {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,
        "AZURE_INFERENCE_ENDPOINT": phi.endpoint,
        "AZURE_INFERENCE_CREDENTIAL": phi.key,
    }
    for _ in range(2 if "append" in code else 1):
        done = subprocess.run(
            [sys.executable, "program.py"],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    assert done.returncode == 0, done.stderr[-5000:]
    expected = 20 if "limit(20)" in code else 100
    assert done.stdout.split()[-1] == str(expected)
    assert len(phi.requests) == expected
    shutil.rmtree(tmp_path / "prompts.parquet")
