"""Exits with 0 if the server of this container is ready, with 1 if not. Runs often, so it imports little."""

import os
import socket
import sys

_REQUEST = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

try:
    # 0.0.0.0 and :: reach this machine as 127.0.0.1 and ::1 do.
    address = os.environ["QWEN3_RERANKER_HOST"], int(os.environ["QWEN3_RERANKER_PORT"])
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(_REQUEST)
        status = connection.makefile("rb").readline()
except OSError as error:
    sys.exit(f"{address[0]}, port {address[1]}: {error}")
sys.exit(0 if b" 200 " in status else status.decode(errors="replace").strip() or "no answer")
