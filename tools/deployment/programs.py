"""The programs that packages bring, found also when nobody activated the environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path


def output_of(root: Path, program: str, *arguments: str) -> str:
    """What a program prints, started in `root`. FileNotFoundError, CalledProcessError with what it said."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    found = shutil.which(program, path=path)
    if found is None:
        raise FileNotFoundError(f"{program} is needed; no package brings it for this platform")
    done = subprocess.run([found, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout
