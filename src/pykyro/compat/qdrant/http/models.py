"""The models, by the name that older programs have for them."""

from pykyro.integrations.qdrant.models import *  # noqa: F403
from pykyro.integrations.qdrant.models import __all__  # noqa: F401
