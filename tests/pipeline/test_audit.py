"""`make audit`: an answer of the vulnerability service is needed for a success."""

import os
import subprocess

import pytest

from storage.environment import PROJECT_ROOT


@pytest.mark.process
def test_an_audit_that_cannot_be_made_is_no_success() -> None:
    """A proxy that is not there stands for a service that cannot be reached."""
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    command = ["make", "-o", ".venv/.lint", "audit"]  # nothing is installed for it
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=os.environ | nowhere, capture_output=True, text=True)
    assert done.returncode != 0
    assert "constraints.txt is not known to be sound: a vulnerability was found, or the audit could not be made" in (
        done.stderr
    )
    assert "No known vulnerabilities found" not in done.stdout + done.stderr


def test_a_package_of_which_nothing_is_known_is_not_passed_over() -> None:
    recipe = (PROJECT_ROOT / "Makefile").read_text()
    assert "AUDIT := --requirement constraints.txt --no-deps --disable-pip --strict " in recipe
