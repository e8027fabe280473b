"""Operations that search, list and count."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from pykyro.model.errors import InvalidArgument
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.transport.rest import answers, render, schemas
from pykyro.transport.rest.calls import Calls
from pykyro.transport.rest.declare import NDJSON, Operation, Reply, Request
from pykyro.transport.rest.documents import WITHIN
from pykyro.transport.rest.messages import filter_of, read_options, search_message
from pykyro.transport.rest.problems import Problem


async def search(calls: Calls, request: Request) -> Reply:
    payload = await calls.unary("Search", search_message(request.body), request.path["collection"])
    return Reply(await calls.rendered(render.search_answer, payload))


async def search_many(calls: Calls, request: Request) -> Reply:
    messages = []
    for at, one in enumerate(request.body.searches):
        try:
            messages.append(search_message(one, inline_errors=True))
        except InvalidArgument as fault:
            raise InvalidArgument(f"searches[{at}]: {fault}", field=f"searches[{at}].{fault.field}") from None
    payloads = await calls.stream_both("BulkSearch", messages, request.path["collection"])
    return Reply(
        {"answers": [await calls.rendered(render.search_answer_or_failure, one) for one in payloads]}
    )


def _scroll_message(body: schemas.Scroll, page_token: str) -> pb.ScrollRequest:
    return pb.ScrollRequest(
        filter=filter_of(body.filter),
        namespace=body.namespace,
        limit=_asked(body.limit, "limit"),
        page_token=page_token,
        descending=body.descending,
        include_embeddings=body.include_vectors,
        exclude_metadata=not body.include_metadata,
        read_options=read_options(body.min_position, body.max_wait_ms),
        order_by=body.order_by,
    )


async def scroll(calls: Calls, request: Request) -> Reply:
    body: schemas.Scroll = request.body
    first = await _page(calls, request, body.page_token)
    if NDJSON not in request.headers.get("accept", ""):
        return Reply(first)
    return Reply(None, lines=_through_pages(calls, request, first))


async def _page(calls: Calls, request: Request, page_token: str) -> dict[str, Any]:
    message = _scroll_message(request.body, page_token)
    payload = await calls.unary("Scroll", message, request.path["collection"])
    return await calls.rendered(render.page, payload)


async def _through_pages(calls: Calls, request: Request, page: dict[str, Any]) -> AsyncIterator[Any]:
    """The documents of all pages, and at the end what came of it: that was all, or an error and where to go on."""
    while True:
        for document in page["documents"]:
            yield document
        position, token = page["position"], page.get("next_page_token", "")
        if not token:
            yield {"end": True, "position": position}
            return
        calls.close()
        try:
            page = await _page(calls, request, token)
        except Problem as problem:
            yield {"end": False, "position": position, "next_page_token": token, "problem": problem.content}
            return


async def count(calls: Calls, request: Request) -> Reply:
    body: schemas.Count = request.body
    message = pb.CountRequest(
        filter=filter_of(body.filter),
        namespace=body.namespace,
        read_options=read_options(body.min_position, body.max_wait_ms),
    )
    payload = await calls.unary("Count", message, request.path["collection"])
    response = pb.CountResponse.FromString(payload)
    return Reply({"count": response.count, "position": response.position})


async def sample(calls: Calls, request: Request) -> Reply:
    body: schemas.Sample = request.body
    message = pb.SampleRequest(
        filter=filter_of(body.filter),
        namespace=body.namespace,
        count=body.count,
        include_embeddings=body.include_vectors,
        exclude_metadata=not body.include_metadata,
        read_options=read_options(body.min_position, body.max_wait_ms),
    )
    payload = await calls.unary("Sample", message, request.path["collection"])
    return Reply(await calls.rendered(render.page, payload))


async def facets(calls: Calls, request: Request) -> Reply:
    body: schemas.Facets = request.body
    message = pb.FacetsRequest(
        filter=filter_of(body.filter),
        namespace=body.namespace,
        key=body.key,
        limit=_asked(body.limit, "limit"),
        read_options=read_options(body.min_position, body.max_wait_ms),
    )
    payload = await calls.unary("Facets", message, request.path["collection"])
    return Reply(await calls.rendered(render.facets, payload))


def _asked(number: int, field: str) -> int:
    """A number that is said: in a message 0 would stand for one that is not."""
    if number < 1:
        raise InvalidArgument(f"{field} must be >= 1, got {number}", field=field)
    return number


OPERATIONS: Final = (
    Operation(
        "POST",
        f"{WITHIN}/search",
        "search",
        "Find the documents most similar to a vector",
        search,
        answers.SearchAnswer,
        "Search",
        body=schemas.Search,
        errors=(404, 412),
    ),
    Operation(
        "POST",
        f"{WITHIN}/search_many",
        "searchMany",
        "Several searches at once",
        search_many,
        answers.SearchAnswers,
        "BulkSearch",
        body=schemas.SearchMany,
        errors=(404, 412),
    ),
    Operation(
        "POST",
        f"{WITHIN}/scroll",
        "scroll",
        "List documents by id or by a value",
        scroll,
        answers.Page,
        "Scroll",
        body=schemas.Scroll,
        errors=(404, 412),
        streams_out=(NDJSON,),
    ),
    Operation(
        "POST",
        f"{WITHIN}/count",
        "count",
        "Count documents",
        count,
        answers.Counted,
        "Count",
        body=schemas.Count,
        errors=(404, 412),
    ),
    Operation(
        "POST",
        f"{WITHIN}/sample",
        "sample",
        "Documents picked at random",
        sample,
        answers.Page,
        "Sample",
        body=schemas.Sample,
        errors=(404, 412),
    ),
    Operation(
        "POST",
        f"{WITHIN}/facets",
        "facets",
        "The values of a key with their counts",
        facets,
        answers.FacetsFound,
        "Facets",
        body=schemas.Facets,
        errors=(404, 412),
    ),
)
