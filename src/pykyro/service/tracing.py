"""Traces of calls by OpenTelemetry: a span for each RPC, a child for each stage of a search or a write.

Only while tracing.enabled is set; the packages (the extra otel) are not even imported otherwise. Sampling, resource,
propagation and export follow the OTEL_ variables of the environment wherever a key says nothing:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from pykyro.config.settings.observability import TracingSettings
from pykyro.model.errors import ConfigError
from pykyro.model.requests import Stage
from pykyro.service.access import Call
from pykyro.service.call_log import RUNNING, RunningCall
from pykyro.version import SERVICE, __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

Request = TypeVar("Request")
Context = TypeVar("Context", bound=Call)

_SERVICE_NAME: Final = "kyrodb"
_FLUSH_MS: Final = 5000
"""Longest the last spans are waited for when the server stops."""


def start_tracing(settings: TracingSettings) -> Tracing | None:
    """The tracer of calls, None when tracing is off. Raises ConfigError when the extra is not installed."""
    if not settings.enabled:
        return None
    require_tracing(settings)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return Tracing(settings, OTLPSpanExporter(endpoint=settings.endpoint))


def require_tracing(settings: TracingSettings) -> None:
    """Raises ConfigError when calls are to be traced and the extra is not installed."""
    if not settings.enabled:
        return
    try:
        import opentelemetry.exporter.otlp.proto.grpc.trace_exporter  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "tracing.enabled = true: needs the packages of OpenTelemetry: pip install 'pykyro[otel]', or set "
            "tracing.enabled to false"
        ) from error


class Tracing:
    """Wraps the handlers of calls. Used on the event loop that serves."""

    def __init__(self, settings: TracingSettings, exporter: SpanExporter) -> None:
        from opentelemetry import propagate, trace
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._trace = trace
        self._extract = propagate.extract
        self._provider = _provider(settings)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("kyrodb", __version__)

    def unary(
        self, rpc: str, serve: Callable[[Request, Context], Awaitable[bytes]]
    ) -> Callable[[Request, Context], Awaitable[bytes]]:
        """`serve` with a span around each call, which the stages noted within are children of."""

        async def traced(request: Request, context: Context) -> bytes:
            span = self._begin(rpc, context)
            with self._trace.use_span(
                span, end_on_exit=True, record_exception=False, set_status_on_exception=False
            ):
                try:
                    return await serve(request, context)
                finally:
                    self._describe(span, RUNNING.get())

        return traced

    def stream(
        self, rpc: str, serve: Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]
    ) -> Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]:
        """`serve` with a span around each stream; its messages have none of their own."""

        async def traced(messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            span = self._begin(rpc, context)
            try:
                async for response in serve(messages, context):
                    yield response
            finally:
                self._describe(span, RUNNING.get())
                span.end()

        return traced

    def note(self, stages: Sequence[Stage]) -> None:
        """Make spans of the steps of the running call. A stage within another one comes behind it."""
        current = self._trace.get_current_span()
        if not current.is_recording():
            return
        outer = [(self._trace.set_span_in_context(current), 0)]
        for stage in stages:
            while len(outer) > 1 and stage.start_us >= outer[-1][1]:
                outer.pop()
            span = self._tracer.start_span(stage.name, context=outer[-1][0], start_time=stage.start_us * 1000)
            span.end(stage.end_us * 1000)
            outer.append((self._trace.set_span_in_context(span), stage.end_us))

    def close(self) -> None:
        """Send the remaining spans. Blocks."""
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()

    def _begin(self, rpc: str, context: Call) -> Span:
        carrier = {
            name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)
        }
        return self._tracer.start_span(
            f"{SERVICE}/{rpc}",
            context=self._extract(carrier),
            kind=self._trace.SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": rpc},
        )

    def _describe(self, span: Span, call: RunningCall | None) -> None:
        if call is None or not span.is_recording():
            return
        span.set_attribute("rpc.response.status_code", call.code)
        span.set_attribute("kyrodb.request_id", call.request_id)
        if call.plan:
            span.set_attribute("kyrodb.plan", call.plan)
        if call.code != "OK":
            span.set_status(self._trace.StatusCode.ERROR, call.code)


def _provider(settings: TracingSettings) -> TracerProvider:
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    name = settings.service_name or os.environ.get("OTEL_SERVICE_NAME") or _SERVICE_NAME
    resource = Resource.create({SERVICE_NAME: name, SERVICE_VERSION: __version__})
    if settings.sample_ratio is None:
        return TracerProvider(resource=resource)
    return TracerProvider(ParentBased(TraceIdRatioBased(settings.sample_ratio)), resource)
