"""The reports of a run: they say what was run and what was not, hold no key, and are signed."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hw_bridge.conformance import certificate, results, signing
from hw_bridge.conformance.results import Result, Run
from paygo_core.errors import DeviceError, PaygoError

KEY = "bc41ec9530f6dac86b1a29ab82edc5fb"
PAYGO = "from paygo_core.cli import main; main()"


def a_run() -> Run:
    return Run(
        "SLT1",
        "/dev/ttyUSB0",
        "hdk+",
        started="2026-01-02T03:04:05+00:00",
        model="M <b>",
        firmware="1.2",
        first_count=1,
        last_count=40,
        leave="locked",
        closed=True,
        results=[
            Result("W1", "far ahead", "T12", "passed", "", 0.5, (0.1, 0.2), ("> #TOKEN;1", "< #TOKEN;VALID;1")),
            Result("W2", "too far", "T12", "failed", "the unit said accepted", 0.1, (0.1,), (f"> #SETUP;1;2;{KEY}",)),
            Result("P5", "an unlock is kept", "T29", "not run", "needs a power switch", 0.0),
        ],
    )


class Tags(HTMLParser):
    """Counts tags and keeps what is inside `pre` and `summary`, and what is loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.count: dict[str, int] = {}
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.loaded += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_certificate_says_what_failed_and_what_was_not_run() -> None:
    html = certificate.report.render(certificate.page(a_run()))
    tags = Tags()
    tags.feed(html)
    assert tags.loaded == []
    assert tags.count["details"] == 2
    for said in ("the unit said accepted", "needs a power switch", "M &lt;b&gt;", "far ahead", "#TOKEN;VALID;1"):
        assert said in html, said
    assert KEY not in html
    assert 'class="verdict bad"' in html


def test_a_rule_has_failed_as_soon_as_one_of_its_tests_has() -> None:
    assert certificate.rules(a_run()) == [
        ("T12", "failed", "W1", "W2", ""),
        ("T29", "not run", "", "", "P5"),
    ]


def test_a_rule_of_which_a_test_was_not_run_has_passed_in_part() -> None:
    run = a_run()
    run.results[1] = replace(run.results[1], verdict="not run")
    assert certificate.rules(run)[0] == ("T12", "passed in part", "W1", "", "W2")
    assert certificate.page(run).verdict == "passed, 2 tests not run"


def test_a_run_of_which_nothing_ran_has_not_passed() -> None:
    run = a_run()
    run.results = [result for result in run.results if result.verdict == "not run"]
    assert not run.passed
    assert 'class="verdict bad"' in certificate.report.render(certificate.page(run))


def test_junit_has_a_case_for_each_test() -> None:
    suite = ET.fromstring(certificate.junit(a_run()))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    cases = {case.get("name", "").partition(":")[0]: case for case in suite.iter("testcase")}
    assert cases["W1"].find("failure") is None
    assert cases["W1"].find("skipped") is None
    assert cases["W2"].find("failure").get("message") == "the unit said accepted"
    assert cases["P5"].find("skipped").get("message") == "needs a power switch"
    assert cases["W1"].findtext("system-out") == "> #TOKEN;1\n< #TOKEN;VALID;1"


def test_results_can_be_read_again(tmp_path: Path) -> None:
    results.write(a_run(), tmp_path / "results.json")
    assert results.read(tmp_path / "results.json") == a_run()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "results": [1]}', "[" * 5000])
def test_what_are_no_results_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(PaygoError):
        results.read(tmp_path / "r.json")


def signed(folder: Path) -> Path:
    results.write(a_run(), folder / "results.json")
    certificate.write(a_run(), folder)
    public = signing.keygen(folder / "key")
    signing.sign(folder, folder / "key")
    return public


def test_a_signature_covers_results_and_reports(tmp_path: Path) -> None:
    public = signed(tmp_path)
    assert signing.verify(tmp_path, public) == ["results.json", "certificate.html", "junit.xml"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["results.json", "certificate.html", "junit.xml"])
def test_a_file_that_was_changed_is_found(tmp_path: Path, name: str) -> None:
    public = signed(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes().replace(b"too far", b"too near", 1))
    with pytest.raises(DeviceError, match=f"{name} was changed"):
        signing.verify(tmp_path, public)


def test_a_signature_that_was_made_to_fit_is_found(tmp_path: Path) -> None:
    public = signed(tmp_path)
    run = a_run()
    run.results = [replace(result, verdict="passed") for result in run.results]
    results.write(run, tmp_path / "results.json")
    said = json.loads((tmp_path / "signature.json").read_text())
    said["files"] = signing._hashes(tmp_path, list(said["files"]))
    (tmp_path / "signature.json").write_text(json.dumps(said))
    with pytest.raises(DeviceError, match="not by this key"):
        signing.verify(tmp_path, public)
    other = signing.keygen(tmp_path / "other")
    signing.sign(tmp_path, tmp_path / "other")
    with pytest.raises(DeviceError, match="not by this key"):
        signing.verify(tmp_path, public)
    assert signing.verify(tmp_path, other)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"files": {}, "ed25519": ""}', '{"files": {"../x": "1"}, "ed25519": "AA=="}']
)
def test_what_is_no_signature_is_told(tmp_path: Path, text: str) -> None:
    public = signed(tmp_path)
    (tmp_path / "signature.json").write_text(text)
    with pytest.raises(PaygoError, match="is no signature"):
        signing.verify(tmp_path, public)


def conform(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PAYGO, "conform", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_commands_make_keys_reports_and_check_them(tmp_path: Path) -> None:
    results.write(a_run(), tmp_path / "results.json")
    key = tmp_path / "maker.key"
    assert conform("keygen", str(key)).returncode == 0
    assert conform("keygen", str(key)).returncode == 2
    made = conform("report", str(tmp_path), "--sign-key", str(key))
    assert made.returncode == 0, made.stderr
    good = conform("verify", str(tmp_path), "--public-key", f"{key}.pub", "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout)["passed"] is False
    (tmp_path / "junit.xml").write_text("<testsuite/>")
    bad = conform("verify", str(tmp_path), "--public-key", f"{key}.pub")
    assert bad.returncode == 1
    assert "junit.xml was changed" in bad.stderr
