"""The one place that states the version."""

import os
from typing import Final

__version__ = "0.2.0"

GIT_COMMIT: Final = os.environ.get("KYRODB_GIT_COMMIT", "unknown")
"""Set where the server is built from a checkout, such as a container image."""

SERVICE: Final = "kyrodb.v1.KyroDBService"
"""The wire contract this version speaks; that of the existing KyroDB."""
