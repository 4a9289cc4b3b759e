from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from kustodian.errors import OutputError
from kustodian.files import write_atomically

from .kit import python

HINT = "nothing was written; make the folder writable, free some space, or choose another --output"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_new_file_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a b" / "ü" / "file"
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"
    assert list(path.parent.iterdir()) == [path]


def test_a_new_file_gets_what_the_umask_leaves(tmp_path: Path) -> None:
    done = python(
        """
        import os, sys
        from pathlib import Path
        os.umask(0o027)
        from kustodian.files import write_atomically
        write_atomically(Path(sys.argv[1]), b"x")
        print(oct(Path(sys.argv[1]).stat().st_mode & 0o7777), oct(os.umask(0)))
        """,
        tmp_path / "file",
    )
    assert (done.stdout, done.stderr) == ("0o640 0o27\n", "")


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    path.chmod(0o604)
    write_atomically(path, b"after")
    assert (path.read_bytes(), mode(path)) == (b"after", 0o604)


@pytest.mark.parametrize("before", [None, 0o644])
def test_the_mode_asked_for_counts_more_than_the_one_there(tmp_path: Path, before: int | None) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(b"before")
        path.chmod(before)
    write_atomically(path, b"after", mode=0o600, durable=True)
    assert (path.read_bytes(), mode(path)) == (b"after", 0o600)


def test_the_temporary_file_is_never_more_open_than_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        seen.append(mode(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write_atomically(tmp_path / "file", b"secret", mode=0o600)
    assert seen == [0o600]


def test_a_symbolic_link_is_followed_and_stays(tmp_path: Path) -> None:
    real = tmp_path / "real" / "file"
    real.parent.mkdir()
    real.write_bytes(b"before")
    link = tmp_path / "link"
    link.symlink_to(Path("real") / "file")
    write_atomically(link, b"after")
    assert link.is_symlink()
    assert real.read_bytes() == b"after"
    assert sorted(tmp_path.iterdir()) == [link, real.parent]
    assert list(real.parent.iterdir()) == [real]


def test_another_name_of_the_old_file_keeps_the_old_content(tmp_path: Path) -> None:
    # What a rename means: whoever holds the old file still reads the whole of it.
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"before")
    os.link(path, other)
    write_atomically(path, b"after")
    assert (path.read_bytes(), other.read_bytes()) == (b"after", b"before")


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError) as raised:
        write_atomically(tmp_path / "file" / "below", b"content")
    assert raised.value.message == f"can't write {tmp_path / 'file' / 'below'}: {tmp_path / 'file'} is no folder"
    assert raised.value.hint == HINT
    assert (tmp_path / "file").read_bytes() == b"x"


def test_a_target_that_is_a_folder_stays_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError) as raised:
        write_atomically(tmp_path / "folder", b"content")
    assert raised.value.message == f"can't write {tmp_path / 'folder'}: Is a directory"
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


@pytest.mark.parametrize("before", [None, b"before"])
def test_a_full_disk_leaves_what_was_there_and_nothing_else(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    done = python(
        """
        import resource, signal, sys
        from pathlib import Path
        from kustodian.errors import OutputError
        from kustodian.files import write_atomically
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_atomically(Path(sys.argv[1]), b"x" * 5000)
        except OutputError as error:
            print(error.message)
        """,
        path,
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert (done.stdout, done.stderr) == (f"can't write {path}: File too large\n", "")
    assert list(tmp_path.iterdir()) == ([path] if before else [])
    if before is not None:
        assert path.read_bytes() == before


def test_ctrl_c_while_writing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"content", durable=True)
    assert list(tmp_path.iterdir()) == []


def test_readers_never_see_half_a_file_and_writers_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([65 + number]) * 200_000 for number in range(3)]
    write_atomically(path, contents[0])
    done = threading.Event()
    seen: set[bytes] = set()

    def write(content: bytes) -> None:
        for _ in range(20):
            write_atomically(path, content)

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert seen <= set(contents)
    assert list(tmp_path.iterdir()) == [path]
