"""Everything that is printed: whole in 80 columns, in any encoding, without a home, on streams that are closed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from motionbench import cli, home, registry, terminal
from motionbench.commands.output import print_json, print_pairs
from motionbench.disk_cache import cache_folder
from motionbench.home import ensure_home
from motionbench.terminal import fill, fill_record, open_streams

# As on a machine where the user's number has no line in passwd.
WITHOUT_PASSWD = """
import pwd
def absent(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = absent
from motionbench.cli import main
main()
"""
LISTS = [["list", name] for name in ("methods", "metrics", "backbones", "trackers", "splits")]


def columns_at_a_terminal(commands: list[list[str]], columns: int) -> dict[str, int]:
    """The widest line that each command prints at a terminal that many columns wide."""
    import pty

    code = f"""
import os, sys
from motionbench.cli import app
from motionbench.terminal import open_streams
open_streams()
for command in {commands!r}:
    print("== " + " ".join(command), flush=True)
    app(command, prog_name="motionbench", standalone_mode=False)
"""
    reader, writer = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": str(columns)}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, env=environment)
    os.close(writer)
    seen = bytearray()
    while data := _read(reader):
        seen += data
    os.close(reader)
    assert process.stderr is not None
    complaint = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 0, complaint
    parts = seen.decode().replace("\r", "").split("== ")[1:]
    blocks = {name: text for name, _, text in (part.partition("\n") for part in parts)}
    assert list(blocks) == [" ".join(command) for command in commands]
    return {name: max(map(len, text.splitlines())) for name, text in blocks.items()}


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 65536)
    except OSError:  # the other end is closed: so Linux says that the program has ended
        return b""


@pytest.mark.parametrize("columns", [80, 50])
def test_lists_wrap_at_the_terminals_width(columns: int) -> None:
    found = columns_at_a_terminal(LISTS, columns)
    assert {name: wide for name, wide in found.items() if wide > columns} == {}


def test_every_help_fits_eighty_columns() -> None:
    commands = [["--help"]]
    for name in registry.names("commands"):
        members = getattr(cli.load_command(name), "commands", {})
        commands += [[name, "--help"], *([name, member, "--help"] for member in members)]
    found = columns_at_a_terminal(commands, 80)
    assert {name: wide for name, wide in found.items() if wide > 80} == {}


def test_no_summary_of_a_plugin_or_a_command_is_cut() -> None:
    for group in ("methods", "metrics", "backbones", "trackers", "commands", "worlds"):
        for name in registry.names(group):
            assert registry.summary(group, name).endswith((".", ")")), (group, name)
    help_of_group = subprocess.run(
        [sys.executable, "-m", "motionbench", "data", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "..." not in help_of_group.partition("Commands:")[2]


def test_a_record_in_a_pipe_is_one_line_and_prose_wraps(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    text = "name  " + "word " * 20 + "end."
    assert fill_record(text) == text
    assert max(map(len, fill(text).splitlines())) <= 30
    monkeypatch.setattr(terminal, "is_terminal", lambda stream: True)
    print_pairs({"a": "word " * 20, "long_name": "/a/path/" + "x" * 60})
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 30
    assert all(line.startswith((" " * 11, "a", "long_name")) for line in lines)  # the second column stays one
    assert "".join(lines).replace(" ", "").count("x") == 60


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii"])
def test_text_gets_through_any_encoding(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "out").open("w", encoding=encoding) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        open_streams()
        typer.echo("A − B → 0 … † 红球 caf\udce9")
        print_json({"prompt": "红球", "path": "caf\udce9"})
    text = (tmp_path / "out").read_text(encoding)
    line, _, document = text.partition("\n")
    assert line.startswith("A - B > 0 ")
    assert line.endswith("\\u7ea2\\u7403 caf\\udce9")
    assert json.loads(document) == {"prompt": "红球", "path": "caf\udce9"}


def test_the_likeness_of_a_sign_that_columns_depend_on_is_as_wide() -> None:
    assert {sign: like for sign, like in terminal.SUBSTITUTES.items() if len(like) != 1} == {
        "…": "...", "±": "+-", "≤": "<=", "≥": ">=",
    }  # fmt: skip


def test_the_main_job_ends_without_home_passwd_stderr_and_utf8(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "USER", "LOGNAME")}
    environment |= {"PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    arguments = "eval --method copy --category camera --metrics motion_fidelity --tracker lk --out results"
    # Closed by the shell: subprocess itself can only send a stream elsewhere.
    line = f'exec "{sys.executable}" -c "$CODE" {arguments} 2>&-'
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env=environment | {"CODE": WITHOUT_PASSWD}, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"motion_fidelity v" in done.stdout
    assert "camera     " in done.stdout.decode("ascii")
    assert (tmp_path / "results" / "summary.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["results"]  # no folder named `~`


def test_closed_streams_are_given_to_nobody(tmp_path: Path) -> None:
    code = f"""
import os
from motionbench.terminal import open_streams
open_streams()
with open({str(tmp_path / "data")!r}, "wb") as file:
    os.write(2, b"a library complains")
    os.system("echo a child complains >&2")
    file.write(b"data")
"""
    subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -c "$CODE" 2>&- >&-'], env=os.environ | {"CODE": code}, check=True
    )
    assert (tmp_path / "data").read_bytes() == b"data"


def test_a_user_without_a_home_has_one_for_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MOTIONBENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    home.home.cache_clear()
    assert cache_folder() == tmp_path / ".cache" / "motionbench"
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr("getpass.getuser", lambda: {}["uid not found"])
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("USER", raising=False)
    home.home.cache_clear()
    ensure_home()
    assert Path(os.environ["HOME"]).is_dir()
    assert oct(Path(os.environ["HOME"]).stat().st_mode)[-3:] == "700"
    assert cache_folder() == Path(os.environ["HOME"]) / ".cache" / "motionbench"
    assert os.environ["USER"] == f"user{os.getuid()}"
    home.home.cache_clear()


def test_tables_of_metrics_fit_eighty_columns() -> None:
    from types import SimpleNamespace

    from motionbench.metrics.metrics_command import agreement_table
    from motionbench.metrics.validate_command import marks_table

    estimate = SimpleNamespace(mean=-0.123, low=-0.234, high=0.345)
    names = ("motion_fidelity_released", "temporal_consistency")
    reports = [SimpleNamespace(tracker="cotracker3 v1", metric=name, rho=estimate, accuracy=estimate) for name in names]
    shares = {"within": 0.123, "visibility": 0.999, "moving": 0.5, "still_called_moving": None}
    alike = [SimpleNamespace(first="cotracker3 v1", second="real v1", n=12, median_distance=12.34, **shares)]
    for table in (marks_table(reports), agreement_table(alike)):  # type: ignore[arg-type]
        assert max(map(len, table.render(80).splitlines())) <= 80
    assert "still called moving -" in " ".join(agreement_table(alike).render(80).split())  # type: ignore[arg-type]
