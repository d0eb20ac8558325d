"""llama.cpp's own HTTP server, inside xllamacpp, with its defaults. The comparison starts it in a process of its own.

It takes those flags of a native `llama-server` that the bench uses, so each can replace the other. It ends on SIGTERM
and SIGINT at once, whatever it is working on.
"""

import argparse
import os
import signal
from collections.abc import Sequence

os.environ.setdefault("GOMP_SPINCOUNT", "200")  # as the service's engine does, and before xllamacpp is loaded

import xllamacpp


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", required=True, help="the GGUF file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("-np", type=int, default=1, help="slots")
    parser.add_argument("-c", type=int, default=0, help="tokens of all slots together")
    parser.add_argument("-t", type=int, default=1, help="threads")
    options = parser.parse_args(arguments)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})  # the server's threads inherit this
    params = xllamacpp.CommonParams()
    params.model.path = options.m
    params.hostnames, params.port = [options.host], options.port
    params.n_parallel, params.n_ctx = options.np, options.c
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.t
    params.verbosity = -1
    server = xllamacpp.Server(params)
    print(f"listening on {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)  # NOTE: the server's destructor would wait for every request in line


if __name__ == "__main__":
    main()
