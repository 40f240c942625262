"""A plugin for pytest: tests of redis-py that name no address expect the server at the default port. Where they connect to
that, they are led to the server under test, which is at `KVDB_PORT`."""

import os
import socket

DEFAULT = 6379
HERE = ("127.0.0.1", "localhost", "::1")

_connect = socket.socket.connect


def connect(self, address):
    if isinstance(address, tuple) and address[0] in HERE and address[1] == DEFAULT:
        address = ("127.0.0.1", int(os.environ["KVDB_PORT"]))
    return _connect(self, address)


socket.socket.connect = connect
