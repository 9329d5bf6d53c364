"""The lists of packages: TensorFlow with CUDA has one of its own, which resolves; nothing is installed here."""

import json
import subprocess
import sys

import pytest
from scripts import ROOT


def lines(name: str) -> list[str]:
    return [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]


def test_a_gpu_needs_what_a_cpu_needs_but_another_tensorflow():
    cpu, gpu = lines("requirements.txt"), lines("requirements-gpu.txt")
    assert [line for line in cpu if "tensorflow" not in line] == [line for line in gpu if "tensorflow" not in line]
    [tensorflow] = [line for line in gpu if "tensorflow" in line]
    assert tensorflow.startswith("tensorflow[and-cuda]>=2.20,<2.22")  # which would share files


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="TensorFlow with CUDA is built for Linux")
def test_tensorflow_with_cuda_resolves(tmp_path):
    report = tmp_path / "report.json"
    options = ("--dry-run", "--quiet", "--only-binary", ":all:", "--report", str(report))
    command = [sys.executable, "-m", "pip", "install", *options, "-r", str(ROOT / "requirements-gpu.txt")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and ("connection" in done.stderr.lower() or "timed out" in done.stderr.lower()):
        pytest.skip("no index of packages can be reached")
    assert done.returncode == 0, done.stderr
    names = {each["metadata"]["name"].lower() for each in json.loads(report.read_text())["install"]}
    assert "tensorflow" in names  # beside what is installed here, which serves both
    assert any(name.startswith("nvidia-cudnn") for name in names)
