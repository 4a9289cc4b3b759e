from __future__ import annotations

import io
import re

import pytest
from kustodian import console

from .kit import python


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "want"), [({}, True), ({"CI": "true"}, False), ({"CI": ""}, True), ({"TERM": "dumb"}, False)]
)
def test_a_person_watches_a_terminal_and_nothing_else(
    variables: dict[str, str], want: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert console.is_terminal(Terminal()) is want
    assert console.is_terminal(io.StringIO()) is False


@pytest.mark.parametrize(("colour", "code"), [("red", 31), ("green", 32), ("yellow", 33), ("dim", 2), ("bold", 1)])
def test_colours_are_for_terminals(colour: str, code: int) -> None:
    assert console.paint("x", colour, Terminal()) == f"\x1b[{code}mx\x1b[0m"
    assert console.paint("x", colour, io.StringIO()) == "x"


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert console.paint("x", "red", Terminal()) == "x"
    monkeypatch.setenv("NO_COLOR", "")
    assert console.paint("x", "red", Terminal()) == "\x1b[31mx\x1b[0m"


def test_results_go_to_standard_output_and_notes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("result")
    console.note("note")
    assert capsys.readouterr() == ("result\n", "note\n")


@pytest.mark.parametrize(("count", "text"), [(0, "0 overlays"), (1, "1 overlay"), (2, "2 overlays")])
def test_plurals(count: int, text: str) -> None:
    assert console.plural(count, "overlay") == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1549, "1.5 kB"), (999_949, "999.9 kB"), (1_000_000, "1.0 MB")],
)
def test_sizes(count: int, text: str) -> None:
    assert console.size(count) == text


def test_off_a_terminal_building_is_a_line_at_the_start_and_one_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with console.building() as report:
        for count in range(50):
            report("sops v3", count)
        report("age v1", 0)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"building sops v3 \(once; it is kept in the user's cache\) …\n"
        r"built sops v3 in \d+ s\n"
        r"building age v1 \(once; it is kept in the user's cache\) …\n"
        r"built age v1 in \d+ s\n",
        err,
    )


def test_building_nothing_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with console.building():
        pass
    assert capsys.readouterr() == ("", "")


def test_a_build_that_fails_is_not_said_to_be_built(capsys: pytest.CaptureFixture[str]) -> None:
    def build() -> None:
        with console.building() as report:
            report("sops v3", 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build()
    assert capsys.readouterr().err == "building sops v3 (once; it is kept in the user's cache) …\n"


def test_on_a_terminal_building_is_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    # rich keeps what it knows of the terminal for the whole process.
    done = python(
        """
        import sys
        from kustodian import console
        sys.stderr.isatty = lambda: True
        with console.building() as report:
            report("sops v3.13.3", 0)
            report("sops v3.13.3", 700)
            report("sops v3.13.3", 5000)
            report("something else", 1)
        """,
        TERM="xterm",
        COLUMNS="100",
        FORCE_COLOR="1",
    )
    assert done.returncode == 0
    assert done.stdout == ""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stderr)
    assert "building something else" in plain
    assert re.search(r"built something else in \d+ s\n", plain)


def test_many_overlays_are_counted_on_a_terminal_and_the_line_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    counter = console.Counter(4, "rendering")
    for _ in range(4):
        counter.advance()
    text = terminal.getvalue()
    assert [part for part in re.split(r"(?:\r|\x1b\[K)+", text) if part] == [
        "rendering 1/4",
        "rendering 2/4",
        "rendering 3/4",
    ]
    assert text.endswith("\r\x1b[K")


@pytest.mark.parametrize("total", [1, 3])
def test_few_overlays_are_not_counted(total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    counter = console.Counter(total, "rendering")
    for _ in range(total):
        counter.advance()
    assert terminal.getvalue() == ""


def test_off_a_terminal_nothing_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    counter = console.Counter(300, "rendering")
    counter.advance()
    assert capsys.readouterr() == ("", "")


def test_what_is_not_for_terminals_is_taken_out() -> None:
    assert console.plain("a\x1b[31m\u202e\udcff\r\n\té ✓ → …") == "a�[31m���\n\té ✓ → …"


@pytest.mark.parametrize(
    ("most", "text"), [(1, "a and 2 more"), (2, "a, b and 1 more"), (3, "a, b, c"), (10, "a, b, c")]
)
def test_some_of_many_names(most: int, text: str) -> None:
    assert console.some(["a", "b", "c"], most) == text
