"""What obstore raises, as the OSError that callers expect, in words that say what to do next."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator
from typing import Final

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

_NO_BUCKET: Final = re.compile(r"NoSuchBucket|ContainerNotFound|[Tt]he specified (bucket|container) does not")
_ANSWER: Final = re.compile(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", re.DOTALL)
_HINTS: Final = (
    (_NO_BUCKET, "make the bucket first, or correct the URL"),
    (
        re.compile(r"/latest/(api/token|meta-data)|computeMetadata|metadata/identity"),
        "no credentials were found in the environment, and this machine has no role: set "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS or AZURE_STORAGE_ACCOUNT_KEY",
    ),
    (re.compile(r"Account must be specified"), "set AZURE_STORAGE_ACCOUNT_NAME"),
    (
        re.compile(r"redirect without LOCATION|AuthorizationHeaderMalformed|PermanentRedirect"),
        "set AWS_DEFAULT_REGION to the region of the bucket",
    ),
    (
        re.compile(r"40[13] (Unauthorized|Forbidden)|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch"),
        "check the credentials, and what they allow in this bucket",
    ),
    (
        re.compile(r"error sending request|timed out"),
        "check the endpoint, the network and the proxy of the environment",
    ),
)


@contextlib.contextmanager
def as_os_error(place: str) -> Iterator[None]:
    """Raises FileNotFoundError, FileExistsError, PermissionError or OSError for what the store refused; `place`
    names it."""
    try:
        yield
    except FileNotFoundError as error:
        if _NO_BUCKET.search(str(error)):
            raise OSError(errno.EIO, _words(error), place) from error
        raise FileNotFoundError(errno.ENOENT, _words(error), place) from error
    except (AlreadyExistsError, PreconditionError) as error:
        raise FileExistsError(errno.EEXIST, _words(error), place) from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise PermissionError(errno.EACCES, _words(error), place) from error
    except (BaseError, ValueError) as error:
        raise OSError(errno.EIO, _words(error), place) from error
    except OSError as error:
        if error.filename is None:
            raise OSError(error.errno or errno.EIO, _words(error), place) from error
        raise


def _words(error: Exception) -> str:
    """One line: what was asked for, what the store answered, what to do next."""
    text = " ".join(str(error).partition("\n\nDebug source:")[0].split())
    answer = _ANSWER.search(text)
    if answer is not None:
        text = f"{text[: text.find('<')].rstrip(': ')}: {answer[1]}: {answer[2]}"
    hint = next((hint for pattern, hint in _HINTS if pattern.search(text)), "")
    return f"{text}; {hint}" if hint else text
