"""From the URL of an object store to a client for it, made with `obstore` (the `cloud` extra).

Credentials, region and endpoint come from where the tools of each provider take them:

* s3://bucket/prefix     AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_DEFAULT_REGION, the files
                         and the profile of the AWS command line, web identity, container and machine roles;
                         AWS_ENDPOINT_URL for another store than Amazon's
* gs://bucket/prefix     GOOGLE_APPLICATION_CREDENTIALS, application default credentials, the machine's account
* az://container/prefix  AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY, a SAS token, a service principal
                         or a managed identity; AZURE_STORAGE_ENDPOINT

The variables are those of obstore: https://developmentseed.org/obstore/latest/authentication/
"""

from __future__ import annotations

import configparser
import os
import urllib.request
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, S3Store

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3CredentialProvider

CloudStore = AzureStore | GCSStore | S3Store

_RETRIES: Final[RetryConfig] = {"max_retries": 4}
_AZURE_EMULATOR: Final = "http://127.0.0.1:10000"
_NEEDS_BOTO3: Final = ("role_arn", "sso_session", "sso_start_url", "credential_process")
"""Settings of a profile that name a way to get credentials, rather than credentials."""


def open_store(scheme: str, bucket: str, prefix: str) -> CloudStore:
    """A client for objects below the prefix. It makes no request yet.

    Raises OSError, ValueError or what obstore raises when settings are missing or wrong.
    """
    if scheme == "s3":
        return _s3(bucket, prefix)
    environment = os.environ
    if scheme == "gs":
        client = _client(environment.get("GOOGLE_BASE_URL", ""))
        return GCSStore(bucket, prefix=prefix, client_options=client, retry_config=_RETRIES)
    endpoint = environment.get("AZURE_STORAGE_ENDPOINT") or environment.get("AZURE_ENDPOINT", "")
    if environment.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in ("1", "true"):
        endpoint = environment.get("AZURITE_BLOB_STORAGE_URL", _AZURE_EMULATOR)
    return AzureStore(bucket, prefix=prefix, client_options=_client(endpoint), retry_config=_RETRIES)


def _s3(bucket: str, prefix: str) -> S3Store:
    environment, profile = os.environ, _aws_profile()
    endpoint = (
        environment.get("AWS_ENDPOINT_URL_S3")
        or environment.get("AWS_ENDPOINT_URL")
        or profile.get("endpoint_url", "")
    )
    region = (
        environment.get("AWS_DEFAULT_REGION") or environment.get("AWS_REGION") or profile.get("region", "")
    )
    # Many stores that speak S3 have no request that deletes several objects at once.
    config: S3Config = {"disable_bulk_delete": True}
    if endpoint:
        config["endpoint"] = endpoint
    if region:
        config["region"] = region
    provider: S3CredentialProvider | None = None
    if not (environment.get("AWS_ACCESS_KEY_ID") or environment.get("AWS_WEB_IDENTITY_TOKEN_FILE")):
        if any(profile.get(name) for name in _NEEDS_BOTO3[:3]):
            provider = _boto3_credentials()
        elif profile.get("aws_access_key_id"):
            config["access_key_id"] = profile["aws_access_key_id"]
            config["secret_access_key"] = profile.get("aws_secret_access_key", "")
            if token := profile.get("aws_session_token"):
                config["session_token"] = token
        elif profile.get("credential_process"):
            provider = _boto3_credentials()
    return S3Store(
        bucket,
        prefix=prefix,
        config=config,
        client_options=_client(endpoint),
        retry_config=_RETRIES,
        credential_provider=provider,
    )


def _aws_profile() -> Mapping[str, str]:
    """The profile that the environment chooses, from the two files of the AWS command line. Raises OSError."""
    chosen = os.environ.get("AWS_DEFAULT_PROFILE") or os.environ.get("AWS_PROFILE")
    name = chosen or "default"
    found: dict[str, str] = {}
    for variable, usual, section in (
        ("AWS_CONFIG_FILE", "~/.aws/config", name if name == "default" else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", name),
    ):
        path = os.path.expanduser(os.environ.get(variable) or usual)
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(path, "utf-8")
        except (configparser.Error, UnicodeDecodeError):
            # Not the error itself: it quotes the line.
            raise OSError(f"{path} cannot be read as a configuration file of the AWS command line") from None
        if parser.has_section(section):
            found |= dict(parser.items(section))
    if chosen and not found:
        raise OSError(f"the AWS profile {chosen!r} is in none of the files of the AWS command line")
    return found


def _boto3_credentials() -> S3CredentialProvider:
    """Credentials by way of boto3, which alone knows how to sign on and how to run a credential process."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        raise OSError(
            f"the AWS profile gets its credentials by {', '.join(_NEEDS_BOTO3)}, which needs boto3: "
            "pip install boto3, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    return Boto3CredentialProvider()


def _client(endpoint: str) -> ClientConfig:
    # `timeout` bounds a whole request, so it must allow for a large part over a slow line.
    options: ClientConfig = {"connect_timeout": "10s", "timeout": "15m"}
    url = urlsplit(endpoint)
    if url.scheme == "http":
        options["allow_http"] = True
    if bundle := os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE"):
        options["root_certificate"] = Path(bundle).read_bytes()
    if _is_loopback(url.hostname or ""):
        # A proxy of the environment is for the world outside. obstore has no switch for that: it takes the proxy of
        # the environment, or one that is given with its exceptions.
        proxies = urllib.request.getproxies()
        proxy = proxies.get(url.scheme) or proxies.get("all", "")
        if proxy:
            options["proxy_url"] = proxy if "://" in proxy else f"http://{proxy}"
            excludes = ("localhost", "127.0.0.0/8", "::1", url.hostname or "", proxies.get("no", ""))
            options["proxy_excludes"] = ",".join(filter(None, excludes))
    return options


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
