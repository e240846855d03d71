"""The image's build and start steps, run by hand: there need be no container engine.

The instructions are read from the Dockerfile itself; what stands for the
image's folders is a temporary one. What only an engine shows (the user, the
read-only root) is not shown here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.readme import ROOT

pytestmark = pytest.mark.journey

DOCKERFILE = re.sub(r"\\\n", " ", (ROOT / "docker" / "Dockerfile").read_text())


def _instructions(name: str) -> list[str]:
    return re.findall(rf"^{name}\s+(.*)$", DOCKERFILE, re.MULTILINE)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that stands for the image, built as the Dockerfile says."""
    root = tmp_path_factory.mktemp("image")
    source = root / "src"
    source.mkdir()
    for line in _instructions("COPY"):
        if line.startswith("--from"):
            continue
        name = shlex.split(line)[0]
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, source / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, source / name)
    build = _instructions("RUN")[0].replace("/opt/", f"{root}/opt/")
    path = f"{Path(sys.executable).resolve().parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    (root / "opt").mkdir()
    subprocess.run(["sh", "-euc", build], cwd=source, env=environment, check=True, timeout=300)
    yield root
    shutil.rmtree(root)


def _environment(image: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("APOSTILLE_", "PYTHON"))}
    return {**kept, "PATH": f"{image}/opt/apostille/bin:{kept['PATH']}"}


def test_it_starts_as_the_image_does_and_is_found_healthy(image: Path, tmp_path: Path) -> None:
    words = [*json.loads(_instructions("ENTRYPOINT")[0]), *json.loads(_instructions("CMD")[-1])]
    places = {"/data": str(tmp_path / "data"), "0.0.0.0": "127.0.0.1"}
    command = [places.get(word, word) for word in words]
    with (tmp_path / "log").open("w") as log:
        issuer = subprocess.Popen(command, env=_environment(image), stdout=log, stderr=log)
    check = json.loads(_instructions("HEALTHCHECK")[0].split("CMD", 1)[1])
    try:
        deadline = time.monotonic() + 20
        while subprocess.run(
            check, env=_environment(image), check=False, capture_output=True
        ).returncode:
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
    finally:
        issuer.terminate()
        assert issuer.wait(20) == 0


def test_it_brings_no_tests_no_tools_and_no_framework_but_its_own(image: Path) -> None:
    program = (
        "import importlib.util as u\n"
        "print([n for n in ('pytest', 'django', 'flask', 'fastapi', 'pip') if u.find_spec(n)])"
    )
    done = subprocess.run(
        ["python", "-c", program],
        env=_environment(image),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
