"""First code of an execution environment: die with the parent, then run the Lambda runtime client.

Runs as a script in the function's process: `python -P launcher.py LIFELINE_FD CLIENT HANDLER DEBUG_PORT`, so it
imports the standard library only. LIFELINE_FD is the read end of a pipe that the runtime holds open for as long as it
lives; DEBUG_PORT is empty, or where debugpy (Node: the inspector) listens.
"""

import os
import sys

TYPE_CHECKING = False  # importing typing costs 5 ms
if TYPE_CHECKING:
    from typing import NoReturn


def follow_parent(lifeline: int) -> None:
    """End this process as soon as the last writer of `lifeline` is gone, even when it was killed.

    On Linux the kernel sends SIGKILL when the pipe loses its writer: no thread, no ctypes (2-4 ms of start-up), and
    it also ends a handler that hangs inside C code. Elsewhere a thread waits for the end of the pipe.
    """
    if sys.platform == "linux":
        import fcntl
        import select
        import signal

        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([lifeline], [], [], 0)[0]:
            os._exit(1)  # the parent was gone before the signal was armed
        return
    import _thread

    def wait() -> None:
        os.read(lifeline, 1)
        os._exit(1)

    _thread.start_new_thread(wait, ())


def run_node(handler: str, debug_port: str) -> "NoReturn":
    """Become Node.js with our client; the kernel's signal for the lifeline stays armed over exec."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node_client.mjs")
    inspect = [f"--inspect=127.0.0.1:{debug_port}"] if debug_port else []
    os.execvp("node", ["node", *inspect, script, handler])


def main(arguments: list[str]) -> None:
    """Start the client named by `arguments`: AWS's own runtime client, ours where it has no wheel, or Node's."""
    lifeline, client, handler, debug_port = arguments
    follow_parent(int(lifeline))
    if client == "node":
        run_node(handler, debug_port)
    if debug_port:
        import debugpy  # type: ignore[import-not-found,unused-ignore]  # the extra `debug`

        debugpy.listen(("127.0.0.1", int(debug_port)))
    if client == "awslambdaric":
        from awslambdaric.__main__ import main as run_client

        run_client(["awslambdaric", handler])
        return
    from importlib.util import module_from_spec, spec_from_file_location

    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap.py")
    spec = spec_from_file_location("_headwater_bootstrap", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.run(handler, os.environ["AWS_LAMBDA_RUNTIME_API"])


if __name__ == "__main__":
    main(sys.argv[1:])
