#!/usr/local/bin/python -IS
"""A container's health check: `healthy PORT` ends with 0 where the service on that port says that it is ready."""

import sys
from http.client import HTTPConnection, HTTPException

try:
    connection = HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=4)
    connection.request("GET", "/health/ready")
    answer = connection.getresponse()
    if answer.status != 200:
        sys.exit(answer.read().decode())
except (OSError, HTTPException) as error:
    sys.exit(str(error))
