"""Exit 0 when /health answers 200. Needs nothing but Python.

KYRODB_HEALTHCHECK_URL names another address; KYRODB_HEALTHCHECK_API_KEY, or API_SECRET, is the key to send where
server.observability_auth is all. A certificate on the loopback is not checked: it is the server in this container.
"""

import os
import ssl
import sys
import urllib.request

port = os.environ.get("KYRODB__SERVER__HTTP_PORT", "51051")
url = os.environ.get("KYRODB_HEALTHCHECK_URL", f"http://127.0.0.1:{port}/health")
key = os.environ.get("KYRODB_HEALTHCHECK_API_KEY") or os.environ.get("API_SECRET")
request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
context = ssl.create_default_context()
if request.host is not None and request.host.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]"):
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
)
try:
    with opener.open(request, timeout=4) as response:
        print(response.read().decode("utf-8", "replace"))
except OSError as error:
    body = error.read().decode("utf-8", "replace") if hasattr(error, "read") else ""
    print(f"{error} {body}".strip())
    sys.exit(1)
