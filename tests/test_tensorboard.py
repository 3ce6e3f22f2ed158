"""utils/tensorboard.py, what %tensorboard leaves behind, and tools/screenshots.py."""
import contextlib
import importlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import sys
import sysconfig
import threading
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import psutil
import pytest
from jupyter_client.manager import KernelManager, start_new_kernel
from PIL import Image
from tensorboard import program
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from torch.utils.tensorboard import SummaryWriter

from utils.tensorboard import RECORD_FRAME, event_files, read_events, serve

ROOT = Path(__file__).resolve().parent.parent
FIRST_RECORD = 88  # bytes; what every event file begins with


def ask(url: str, route: str = "", **question: str) -> bytes:
    """What a server on this machine answers."""
    opener = build_opener(ProxyHandler({}))
    with opener.open(f"{url}{route}?{urlencode(question)}", timeout=60) as answer:
        return answer.read()


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    """The addresses where a process waits for others."""
    return {tuple(c.laddr) for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a difficult name that holds two runs of three values each."""
    folder = tmp_path / "a folder 文件夹"
    for run in ("one", "two"):
        with SummaryWriter(folder / run) as writer:
            for step in range(3):
                writer.add_scalar("loss", step / 4, step)
    return folder


# ------------------------------------------------------------------------------------------------ reading
def test_event_files_are_found_in_order(folder: Path):
    assert [file.parent.name for file in event_files(folder)] == ["one", "two"]
    assert event_files(str(folder / "two")) == event_files(folder)[1:]


def test_a_folder_named_like_an_event_file_is_none(folder: Path):
    folder.rename(folder.parent / "tfevents of May")
    assert [file.parent.name for file in event_files(folder.parent)] == ["one", "two"]
    (folder.parent / "none" / "tfevents").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="holds no event file"):
        read_events(folder.parent / "none")


@pytest.mark.parametrize("use", [event_files, read_events, lambda folder: serve(folder).__enter__()])
def test_a_folder_without_events_is_named(tmp_path: Path, use):
    (tmp_path / "empty" / "below").mkdir(parents=True)
    (tmp_path / "file").write_text("tfevents")
    for name, error, says in (("none", FileNotFoundError, "does not exist"), ("empty", FileNotFoundError, "no event"),
                              ("file", NotADirectoryError, "is a file")):
        with pytest.raises(error, match=f"{re.escape(str(tmp_path / name))} .*{says}.*: give the folder"):
            use(tmp_path / name)


def test_what_was_written_is_read_back_and_nothing_is_sampled(tmp_path: Path):
    with SummaryWriter(tmp_path) as writer:
        for step in range(3000):
            writer.add_scalar("loss", step, step)
    assert [event.value for event in read_events(tmp_path).Scalars("loss")] == [*range(3000)]


def test_a_folder_of_runs_is_no_run(folder: Path):
    with pytest.raises(FileNotFoundError, match=r"no event file of its own: give .* such as .*one\.$"):
        read_events(folder)


def flip(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1:]


def record(event: bytes, length: int | None = None) -> bytes:
    """A record whose checksums fit, whatever its event is; the length may be a lie."""
    head = struct.pack("<Q", len(event) if length is None else length)
    return head + struct.pack("<I", masked_crc32c(head)) + event + struct.pack("<I", masked_crc32c(event))


@pytest.mark.parametrize(("damage", "readable"), [
    (lambda content: flip(content, FIRST_RECORD), FIRST_RECORD),  # in a length
    (lambda content: flip(content, FIRST_RECORD + 8), FIRST_RECORD),  # in the checksum of the length
    (lambda content: flip(content, FIRST_RECORD + 12), FIRST_RECORD),  # in an event
    (lambda content: flip(content, len(content) - 1), None),  # in the last checksum
    (lambda content: content[:-3], None),
    (lambda content: content[:FIRST_RECORD + 5], FIRST_RECORD),
    (lambda content: content + b"more", -1),
    (lambda content: content + record(b"\xff\xff\xff\xff"), -1),  # checksums that fit, around no event
    (lambda content: content + record(b"", 2**50), -1),
    (lambda content: b"this is no event file", 0),
    (lambda content: b"", 0),
])
def test_a_damaged_file_is_named_with_the_byte(folder: Path, damage, readable: int | None):
    (file,) = event_files(folder / "one")
    whole = file.read_bytes()
    last = len(whole) - RECORD_FRAME - int.from_bytes(whole[FIRST_RECORD:FIRST_RECORD + 8], "little") - 2
    readable = {None: last, -1: len(whole)}.get(readable, readable)  # the later steps take 2 bytes more
    file.write_bytes(damage(whole))
    with pytest.raises(ValueError) as error:
        read_events(folder / "one")
    assert str(error.value).startswith(f"{file} can be read up to byte {readable} of {file.stat().st_size}: ")
    assert len(read_events(folder / "two").Scalars("loss")) == 3


def test_a_run_whose_writer_is_open_can_be_read_up_to_its_last_flush(tmp_path: Path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 1, 0)
        writer.flush()
        assert len(read_events(tmp_path).Scalars("loss")) == 1


# ------------------------------------------------------------------------------------------------ serving
def test_the_page_and_its_values(folder: Path):
    with serve(folder) as url:
        assert b"<title>TensorBoard</title>" in ask(url)
        assert json.loads(ask(url, "data/runs")) == ["one", "two"]
        curve = json.loads(ask(url, "data/plugin/scalars/scalars", run="one", tag="loss"))
    written = read_events(folder / "one").Scalars("loss")
    assert curve == [[event.wall_time, event.step, event.value] for event in written]


def test_the_page_shows_what_can_be_read_of_a_damaged_file(folder: Path):
    (file,) = event_files(folder / "one")
    file.write_bytes(file.read_bytes()[:-3])
    with serve(folder) as url:
        assert len(json.loads(ask(url, "data/plugin/scalars/scalars", run="one", tag="loss"))) == 2


def test_a_file_that_the_page_cannot_show_at_all_is_named(folder: Path):
    (file,) = event_files(folder / "one")
    file.write_bytes(record(b"\xff\xff\xff\xff"))
    with pytest.raises(ValueError, match=f"^{re.escape(str(file))} can be read up to byte 0 of 20: "), serve(folder):
        pass


def test_a_folder_whose_name_looks_like_an_option_is_served(folder: Path, monkeypatch: pytest.MonkeyPatch):
    folder.rename(folder.parent / "--port")
    monkeypatch.chdir(folder.parent)
    with serve("--port") as url:
        assert json.loads(ask(url, "data/runs")) == ["one", "two"]


def test_only_this_machine_is_served(folder: Path):
    with serve(folder) as url:
        port = int(url.rsplit(":", 1)[1].strip("/"))
        assert {ip for ip, p in listening(psutil.Process()) if p == port} == {"127.0.0.1"}
        assert url == f"http://127.0.0.1:{port}/"


def test_a_free_port_is_used_and_a_taken_one_is_not(folder: Path, recwarn: pytest.WarningsRecorder):
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        says = rf"^Port {port} is in use: TensorBoard's page is at http://127\.0\.0\.1:\d+/ instead\.$"
        with pytest.warns(UserWarning, match=says) as caught, serve(folder, port=port) as url:
            assert f":{port}/" not in url and ask(url)
        assert url in str(caught[0].message) and caught[0].filename == __file__
    with serve(folder, port=port) as url:
        assert url == f"http://127.0.0.1:{port}/" and ask(url)
        assert not recwarn.list
        with pytest.warns(UserWarning, match=says), serve(folder, port=port) as other:
            assert other != url and ask(other) and ask(url)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_refused(folder: Path, port: int):
    with pytest.raises(ValueError, match=f"^{port} is no port: "), serve(folder, port=port):
        pass


def test_nothing_is_left_after_the_block(folder: Path):
    before = threading.enumerate()
    with pytest.raises(ZeroDivisionError), serve(folder) as url:
        assert ask(url)
        raise ZeroDivisionError
    assert [thread for thread in threading.enumerate() if thread.name == "TensorBoard"] == []
    assert set(threading.enumerate()) <= set(before)
    with pytest.raises(URLError):
        ask(url)


@pytest.mark.parametrize("thread_runs", [False, True])
def test_nothing_is_left_when_the_start_is_interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch,
                                                       thread_runs: bool):
    launch, before = program.TensorBoard.launch, listening(psutil.Process())

    def interrupted(tensorboard):
        launch(tensorboard) if thread_runs else tensorboard._make_server()
        assert listening(psutil.Process()) > before
        raise KeyboardInterrupt

    monkeypatch.setattr(program.TensorBoard, "launch", interrupted)
    with pytest.raises(KeyboardInterrupt), serve(folder):
        pass
    assert [thread for thread in threading.enumerate() if thread.name == "TensorBoard"] == []
    assert listening(psutil.Process()) == before


def crash(manager: KernelManager) -> None:
    """The kernel is killed, and started again as JupyterLab does by itself."""
    os.kill(manager.provisioner.pid, signal.SIGKILL)
    manager.restart_kernel(now=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups to end with the kernel")
@pytest.mark.parametrize("end", [KernelManager.shutdown_kernel, KernelManager.restart_kernel, crash])
def test_the_magic_leaves_no_process_behind(folder: Path, monkeypatch: pytest.MonkeyPatch, end):
    binary = shutil.which("tensorboard", path=sysconfig.get_path("scripts"))
    monkeypatch.setenv("TENSORBOARD_BINARY", binary)
    monkeypatch.setenv("TMPDIR", str(folder))  # for its logs, and for the note that a killed one leaves
    manager, client = start_new_kernel(kernel_name="python3", extra_arguments=["--log-level=ERROR"])
    try:
        client.execute_interactive(f'%load_ext tensorboard\n%tensorboard --logdir "{folder}" --host 127.0.0.1 --port 0',
                                   output_hook=lambda message: None, timeout=90)
        started = psutil.Process(manager.provisioner.pid).children(recursive=True)
        assert {ip for process in started for ip, _ in listening(process)} == {"127.0.0.1"}
        end(manager)
        _, running = psutil.wait_procs(started, timeout=10)
        assert [p for p in running if p.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        client.stop_channels()
        with contextlib.suppress(RuntimeError):  # it has been shut down already
            manager.shutdown_kernel(now=True)


# ------------------------------------------------------------------------------------------------ screenshots.py
@pytest.fixture
def screenshots(monkeypatch: pytest.MonkeyPatch):
    """The tool, which imports its neighbours as a script does."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    monkeypatch.delenv("CHROMIUM", raising=False)
    return importlib.import_module("screenshots")


@pytest.fixture
def make_browser(tmp_path: Path):
    """A program that takes a browser's arguments and runs some Python with `target`, the picture's path, and `url`."""
    def make(code: str) -> str:
        script, program = tmp_path / "browser.py", tmp_path / "browser"
        script.write_text("import sys\nurl = sys.argv[-1]\n"
                          "target = next(a for a in sys.argv if a.startswith('--screenshot=')).split('=', 1)[1]\n"
                          + code)
        # Not Python in the first line: its path may hold a space.
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(script))} "$@"\n')
        program.chmod(0o755)
        return str(program)

    return make


def test_the_pictures_are_there_and_small(screenshots):
    assert {path.name for path in screenshots.IMAGES.iterdir()} == set(screenshots.PAGES)
    for name, page in screenshots.PAGES.items():
        assert (screenshots.IMAGES / name).stat().st_size <= screenshots.MOST_BYTES
        with Image.open(screenshots.IMAGES / name) as image:
            assert image.mode == "P" and image.size == page.size


def test_a_missing_browser_is_said(screenshots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="install Chromium, or set CHROMIUM to its path"):
        screenshots.find_browser()
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(SystemExit, match="CHROMIUM=.*none is no program"):
        screenshots.find_browser()
    monkeypatch.setenv("CHROMIUM", sys.executable)
    assert screenshots.find_browser() == sys.executable
    monkeypatch.setattr("sys.argv", ["screenshots.py", "99_none.png"])
    with pytest.raises(SystemExit, match="There is no picture 99_none.png: choose from 20_"):
        screenshots.main()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not run a script by its first line")
def test_a_picture_is_taken_of_a_running_page(screenshots, make_browser, tmp_path: Path):
    here = Path.cwd()
    browser = make_browser("from urllib.request import ProxyHandler, build_opener\nfrom PIL import Image\n"
                           "runs = build_opener(ProxyHandler({})).open(url.split('?')[0] + 'data/runs').read()\n"
                           "assert runs == b'[\"lr=0.03\", \"lr=0.3\"]', runs\n"
                           "Image.new('RGB', (30, 20), 'red').save(target)\n")
    picture = screenshots.make_picture(browser, "20_time_series.png", tmp_path / "images")
    with Image.open(picture) as image:
        assert picture.name == "20_time_series.png" and image.mode == "P" and image.size == (30, 20)
    assert Path.cwd() == here


@pytest.mark.skipif(os.name == "nt", reason="Windows does not run a script by its first line")
@pytest.mark.parametrize(("code", "says"), [
    ("print('first', file=sys.stderr)\nsys.exit('no display')", "no picture of http://x: no display$"),
    ("", "it did not say why$"),
    ("import time\ntime.sleep(60)", "longer than 1 seconds$"),
])
def test_a_browser_that_fails_is_said(screenshots, make_browser, tmp_path, monkeypatch, code: str, says: str):
    monkeypatch.setattr(screenshots, "TIMEOUT", 1)
    with pytest.raises(SystemExit, match=says):
        screenshots.shoot(make_browser(code), "http://x", tmp_path / "a.png", (10, 10))


@pytest.mark.skipif(os.name == "nt", reason="Windows does not run a script by its first line")
def test_a_picture_that_is_too_large_is_refused(screenshots, make_browser, tmp_path, monkeypatch):
    monkeypatch.setattr(screenshots, "MOST_BYTES", 50)
    browser = make_browser("from PIL import Image\nImage.new('RGB', (300, 200), 'red').save(target)\n")
    with pytest.raises(SystemExit, match="20_time_series.png has .* kB, more than 0: make its page smaller"):
        screenshots.make_picture(browser, "20_time_series.png", tmp_path / "images")
    assert not (tmp_path / "images").exists()
