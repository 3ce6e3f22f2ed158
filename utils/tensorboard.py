"""Event files read back, and TensorBoard's page for as long as a with block lasts (chapter 20 shows what both do)."""
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboard import program
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

RECORD_FRAME = 16  # bytes around each event: its length (8) and two checksums (4 each)


def event_files(log_dir: str | Path) -> list[Path]:
    """The event files of a folder and of the folders below it, in the order of their names.

    Raises:
        FileNotFoundError: the folder does not exist, or holds no event file.
        NotADirectoryError: it is a file.
    """
    log_dir = Path(log_dir)
    remedy = "give the folder that a SummaryWriter wrote to (its log_dir)."
    if not log_dir.exists():
        raise FileNotFoundError(f"The folder {log_dir} does not exist: {remedy}")
    if not log_dir.is_dir():
        raise NotADirectoryError(f"{log_dir} is a file, not a folder of event files: {remedy}")
    files = sorted(file for file in log_dir.rglob("*tfevents*") if file.is_file())  # a folder's name may match too
    if not files:
        raise FileNotFoundError(f"The folder {log_dir} holds no event file: {remedy}")
    return files


def _check_whole(file: Path) -> None:
    """Raises a ValueError unless every byte of an event file belongs to an event that can be read."""
    readable = 0
    try:
        for event in RawEventFileLoader(str(file)).Load():
            Event.FromString(event)
            readable += len(event) + RECORD_FRAME
    except (DecodeError, MemoryError):  # bytes whose checksum fits, but that are no event, or give an absurd length
        pass
    if readable == 0 or readable != file.stat().st_size:
        raise ValueError(f"{file} can be read up to byte {readable} of {file.stat().st_size}: close the writer if "
                         f"it is still writing, else the file is damaged and its run has to be made again.")


def read_events(log_dir: str | Path) -> EventAccumulator:
    """Everything that was written to one run's folder, loaded and ready to be asked.

    TensorBoard itself shows what it can read of a damaged file and is silent about the rest; this function is not.

    Returns:
        An accumulator: Tags() names what there is, Scalars(tag), Histograms(tag), Images(tag), Tensors(tag) give it.
        It keeps all values, where TensorBoard's page keeps a sample.

    Raises:
        FileNotFoundError, NotADirectoryError: as event_files(); also where all event files lie in folders below.
        ValueError: an event file is damaged, or its writer has not finished with it.
    """
    files = event_files(log_dir)
    if all(file.parent != Path(log_dir) for file in files):
        raise FileNotFoundError(f"The folder {log_dir} holds no event file of its own: give one of the folders of runs "
                                f"below it, such as {files[0].parent}.")
    for file in files:
        _check_whole(file)
    keep_all = {"scalars": 0, "histograms": 0, "compressedHistograms": 0, "images": 0, "audio": 0, "tensors": 0}
    return EventAccumulator(str(log_dir), size_guidance=keep_all).Reload()


@contextmanager
def serve(log_dir: str | Path, port: int = 0) -> Iterator[str]:
    """TensorBoard's server on the event files of a folder, in a thread of this process, until the with block ends.

    The files are read once, before the block begins. The server listens on 127.0.0.1, so that no other machine
    can reach it. It is stopped however the block ends.

    Args:
        log_dir: the folder, such as one that holds a folder for each run.
        port: where to listen; 0 means a free one, and so does a port in use, with a warning that says so.

    Yields:
        The page's address, such as "http://127.0.0.1:6006/".

    Raises:
        FileNotFoundError, NotADirectoryError: as event_files().
        ValueError: the port is none, or a file holds something that is no event. What comes before a damaged
            place is shown, as TensorBoard does.
    """
    files = event_files(log_dir)
    if not 0 <= port <= 65535:
        raise ValueError(f"{port} is no port: give a number up to 65535, or 0 for one that is free.")
    servers = []

    def make_server(wsgi_app, flags):
        try:
            server = program.WerkzeugServer(wsgi_app, flags)
        except program.TensorBoardPortInUseError:
            flags.port = 0
            server = program.WerkzeugServer(wsgi_app, flags)
        servers.append(server)  # TensorBoard keeps it to itself, and we have to stop it
        return server

    tensorboard = program.TensorBoard(server_class=make_server)
    tensorboard.configure(argv=[
        "tensorboard", f"--logdir={log_dir}", "--host", "127.0.0.1", "--port", str(port),
        "--load_fast", "false", "--reload_task", "blocking", "--reload_interval", "0",
    ])
    known = threading.enumerate()
    try:
        try:
            url = tensorboard.launch()
        except (DecodeError, MemoryError):
            for file in files:
                _check_whole(file)
            raise
        if port not in (0, servers[0].server_port):
            warnings.warn(f"Port {port} is in use: TensorBoard's page is at {url} instead.", stacklevel=3)
        yield url
    finally:  # also when an interrupt hits while it starts
        for thread in threading.enumerate():
            if thread not in known and thread.name == "TensorBoard":
                servers[0].shutdown()
                thread.join()
        for server in servers:
            server.server_close()
