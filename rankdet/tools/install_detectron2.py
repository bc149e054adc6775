"""Installs Detectron2 at rankdet's pinned commit; needs nothing but Python and pip.

Detectron2 is not on PyPI, so there are two routes:

* ``official``: its own repository, compiled here (minutes; needs git and a C++ compiler);
* ``pypi``: where that fails, Detectron2's Python files at the same commit, which the PyPI wheel
  of another project carries. They lack the compiled ``detectron2._C`` (deformable convolution,
  rotated boxes, C++ COCO evaluation), which rankdet does not use.

Run: ``python rankdet/tools/install_detectron2.py [--route official|pypi]`` in a checkout, and
``python -m rankdet.tools.install_detectron2`` where rankdet is installed.
"""

import argparse
import base64
import hashlib
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

COMMIT = "864913f0e57e87a75c8cc0c7d79ecbd774fc669b"
VERSION = f"0.6+{COMMIT[:7]}"
REPOSITORY = "https://github.com/facebookresearch/detectron2.git"
REPOSITORY_TIMEOUT = 20.0  # seconds until the repository counts as out of reach

CARRIER = "labgym==3.1.2"
CARRIER_SHA256 = "a2900cff8a3fb508e1975f19b5f9abd9f261966db87b0c332697fb4138c1cb2b"
TREE_SHA256 = "a2eaa5c16a6baa35be2af9efbfd4a440de4119a6945adf3eb220b43b6f71f51a"

# Upstream's requirements at COMMIT, without black (only its developers need it) and with
# iopath 0.1.10 let in, which works.
REQUIREMENTS = (
    "Pillow>=7.1",
    "matplotlib",
    "pycocotools>=2.0.2",
    "termcolor>=1.1",
    "yacs>=0.1.8",
    "tabulate",
    "cloudpickle",
    "tqdm>4.29.0",
    "tensorboard",
    "fvcore>=0.1.5,<0.1.6",
    "iopath>=0.1.7,<=0.1.10",
    "omegaconf>=2.1,<2.4",
    "hydra-core>=1.1",
    "packaging",
)
CHECKOUT = Path(__file__).resolve().parents[2]

Run = Callable[..., None]
"""``run(command, timeout=None)``: runs a command, raises `InstallError` where it fails."""


class InstallError(Exception):
    """A route did not work; the message says why."""


def run_command(command: Sequence[str], timeout: float | None = None) -> None:
    """Run a command and show its output.

    Args:
        command: program and arguments.
        timeout: seconds after which it is ended; None waits.

    Raises:
        InstallError: the program is missing, failed or took longer than ``timeout``.
    """
    try:
        subprocess.run(command, check=True, timeout=timeout, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise InstallError(f"`{command[0]}` is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"`{' '.join(command)}` took over {timeout:g} seconds") from error
    except subprocess.CalledProcessError as error:
        raise InstallError(f"`{' '.join(command)}` failed (exit {error.returncode})") from error


def is_installed() -> bool:
    """Return whether this interpreter has Detectron2 at the pinned commit."""
    try:
        distribution = importlib.metadata.distribution("detectron2")
    except importlib.metadata.PackageNotFoundError:
        return False
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    commit = origin.get("vcs_info", {}).get("commit_id")
    is_pinned = commit == COMMIT or distribution.version == VERSION
    return is_pinned and importlib.util.find_spec("detectron2") is not None


def install_official(pip_options: Sequence[str] = (), run: Run = run_command) -> None:
    """Build and install Detectron2 from its repository.

    Args:
        pip_options: further options of ``pip install``.
        run: runs a command.

    Raises:
        InstallError: the repository is out of reach, or the build failed.
    """
    run(["git", "ls-remote", "--exit-code", REPOSITORY, "HEAD"], timeout=REPOSITORY_TIMEOUT)
    requirement = f"git+{REPOSITORY}@{COMMIT}"
    # Its setup.py imports torch, which an isolated build does not see.
    run([*_pip("install"), *pip_options, "--no-build-isolation", requirement])


def install_pypi(pip_options: Sequence[str] = (), run: Run = run_command) -> None:
    """Install the copy of Detectron2's Python files that a wheel on PyPI carries.

    Args:
        pip_options: further options of ``pip install``.
        run: runs a command.

    Raises:
        InstallError: the download or the installation failed, or a digest differs.
    """
    with tempfile.TemporaryDirectory() as folder:
        carrier = download_carrier(Path(folder), run)
        wheel = pack_wheel(extract_tree(carrier), Path(folder))
        run([*_pip("install"), *pip_options, str(wheel)])


def download_carrier(folder: Path, run: Run = run_command) -> Path:
    """Download the carrier wheel into ``folder``, check its SHA-256 and return its path.

    Raises:
        InstallError: the download failed or is another file than the pinned one.
    """
    # The carrier is declared for Python < 3.11, but only its files are used here, never its code.
    only_files = ["--no-deps", "--only-binary=:all:", "--python-version=3.10"]
    run([*_pip("download"), *only_files, f"--dest={folder}", CARRIER])
    (wheel,) = folder.glob("*.whl")
    _check_digest(wheel.name, hashlib.sha256(wheel.read_bytes()).hexdigest(), CARRIER_SHA256)
    return wheel


def extract_tree(carrier: Path) -> dict[str, bytes]:
    """Return Detectron2's files as upstream has them: path (``detectron2/...``) to content.

    Raises:
        InstallError: the files differ from the pinned tree.
    """
    with zipfile.ZipFile(carrier) as archive:
        tree = {
            name.removeprefix("LabGym/"): archive.read(name).replace(
                b"LabGym.detectron2", b"detectron2"
            )
            for name in archive.namelist()
            if name.startswith("LabGym/detectron2/") and not name.endswith("/")
        }
    _check_digest("Detectron2's source tree", tree_digest(tree), TREE_SHA256)
    return tree


def tree_digest(tree: dict[str, bytes]) -> str:
    """Return the SHA-256 of a ``sha256sum``-like listing of the files, sorted by path."""
    lines = (f"{hashlib.sha256(tree[path]).hexdigest()}  {path}\n" for path in sorted(tree))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def license() -> bytes:
    """Return the Apache License 2.0, which Detectron2 has, too, from the checkout or the wheel.

    Raises:
        InstallError: rankdet is neither a checkout nor an installed package.
    """
    if (CHECKOUT / "setup.py").is_file():
        return (CHECKOUT / "LICENSE").read_bytes()
    try:
        files = importlib.metadata.files("rankdet") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "LICENSE":
            return Path(str(file.locate())).read_bytes()
    raise InstallError(f"{CHECKOUT} has no LICENSE of rankdet; install rankdet with pip")


def pack_wheel(tree: dict[str, bytes], folder: Path) -> Path:
    """Pack the files and their metadata as a wheel in ``folder`` and return its path."""
    info = f"detectron2-{VERSION}.dist-info"
    files = tree | {
        f"{info}/METADATA": _metadata().encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: rankdet\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/LICENSE": license(),
    }
    record = "".join(f"{path},{_record_entry(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"detectron2-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return wheel


def install(route: str | None, pip_options: Sequence[str] = (), run: Run = run_command) -> str:
    """Install Detectron2 by one route, or by the first that works.

    Args:
        route: "official", "pypi", or None for both in this order.
        pip_options: further options of ``pip install``.
        run: runs a command.

    Returns:
        One sentence about the route taken.

    Raises:
        InstallError: no route worked.
    """
    if is_installed():
        return f"Detectron2 {VERSION} is already installed."
    installers = {"official": install_official, "pypi": install_pypi}
    failures = []
    for name in [route] if route else installers:
        print(f"Installing Detectron2 {VERSION} by the {name} route.", flush=True)
        try:
            installers[name](pip_options, run)
        except InstallError as error:
            failures.append(f"{name} route: {error}")
        else:
            return f"Installed Detectron2 {VERSION} by the {name} route."
    raise InstallError(f"Detectron2 was not installed ({'; '.join(failures)}).")


def main(arguments: Sequence[str] | None = None) -> None:
    """Install Detectron2 as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--route", choices=["official", "pypi"], help="only this route")
    parser.add_argument("--constraint", metavar="FILE", help="constraints file for pip")
    args = parser.parse_args(arguments)
    pip_options = [f"--constraint={args.constraint}"] if args.constraint else []
    try:
        print(install(args.route, pip_options))
    except InstallError as error:
        sys.exit(str(error))


def _pip(command: str) -> list[str]:
    return [sys.executable, "-m", "pip", command, "--quiet"]


def _check_digest(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise InstallError(f"{name} has SHA-256 {found} where {expected} is expected")


def _metadata() -> str:
    header = f"Metadata-Version: 2.1\nName: detectron2\nVersion: {VERSION}\n"
    license = "License: Apache-2.0\nLicense-File: LICENSE\nRequires-Python: >=3.7\n"
    return header + license + "".join(f"Requires-Dist: {name}\n" for name in REQUIREMENTS)


def _record_entry(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest},{len(data)}"


if __name__ == "__main__":
    main()
