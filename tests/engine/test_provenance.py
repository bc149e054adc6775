import json
import logging
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import rankdet
from rankdet.engine.provenance import LOG_PREFIX, log_provenance, provenance


def test_logs_one_line_of_json(caplog):
    with caplog.at_level(logging.INFO, "rankdet.engine.provenance"):
        log_provenance()
    (message,) = caplog.messages
    found = json.loads(message.removeprefix(LOG_PREFIX))
    assert message.startswith(LOG_PREFIX) and "\n" not in message
    assert found.keys() == provenance().keys()
    assert found["version"] == rankdet.__version__ and found["cpu"]
    assert found["num_processes"] == 1 <= found["num_threads"]
    assert datetime.fromisoformat(found["started"]).tzinfo is not None


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_tells_commit_and_local_changes(tmp_path, monkeypatch):
    package = tmp_path / "rankdet" / "__init__.py"
    package.parent.mkdir()
    shutil.copy(rankdet.__file__, package)
    monkeypatch.setattr(rankdet, "__file__", str(package))
    assert provenance()["commit"] is None and not provenance()["has_local_changes"]
    git(tmp_path, "init")
    git(tmp_path, "add", "rankdet")
    git(tmp_path, "commit", "-m", "first")
    (tmp_path / "untracked").write_text("no change of the code")
    first = provenance()
    assert first["commit"] == git(tmp_path, "rev-parse", "HEAD")
    assert not first["has_local_changes"]
    Path(package).write_text("changed = True\n__version__ = '0'\n")
    assert provenance()["has_local_changes"]
