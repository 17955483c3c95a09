"""One run of the command by `command_server`: has its arguments, streams, signals and exit status.

    python -S -I command_client.py SOCKET [WORD ...]

Imports only modules that are part of the interpreter, so that it starts in 10 ms.
"""

import _signal  # type: ignore[import-not-found]  # without the enumerations of `signal`
import _socket
import marshal
import os
import sys

FORWARDED = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)


def run(server: str, words: list[str]) -> int:
    _signal.pthread_sigmask(_signal.SIG_BLOCK, FORWARDED)  # until the command exists
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(server)
    request = marshal.dumps((words, os.getcwd(), dict(os.environ)))
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)]
    connection.sendmsg([len(request).to_bytes(8, "little")], rights)
    connection.sendall(request)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)  # the command is the only one that has its streams open

    def forward(number: int, _: object) -> None:
        try:  # noqa: SIM105  # `contextlib` takes time to import
            connection.send(bytes([number]))
        except OSError:
            pass  # the command has just ended

    for number in FORWARDED:
        _signal.signal(number, forward)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, FORWARDED)
    answer = connection.recv(4)
    if len(answer) < 4:
        return 125
    return int.from_bytes(answer, "little", signed=True)


if __name__ == "__main__":
    status = run(sys.argv[1], sys.argv[2:])
    if status < 0:
        if -status != _signal.SIGKILL:
            _signal.signal(-status, _signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)
