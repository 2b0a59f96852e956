"""What every service's HTTP side has beside its own paths: health, metrics, documentation, errors in one shape."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from shared import exposition, log
from shared.errors import TruycapError, error_body

Check = Callable[[], Awaitable[str | None]]
"""Says what is wrong in one line, or None where all is well."""

logger = log.get(__name__)

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def create_web(
    title: str,
    routers: Sequence[APIRouter],
    checks: Mapping[str, Check],
    documents: Sequence[Mapping[str, Any]] = (),
) -> FastAPI:
    """The ASGI application of a service's cold paths.

    checks: what /health/ready asks, by name; documents: OpenAPI `paths` and `components` of paths answered elsewhere.
    """
    # FastAPI's own telemetry would tell of clients' addresses.
    app = FastAPI(
        title=title, version="1", redoc_url=None, telemetry={"tracing": False, "metrics": False, "logs": False}
    )
    app.add_exception_handler(TruycapError, _truycap_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.include_router(_health(checks))
    for router in routers:
        app.include_router(router)
    if documents:
        document = _merge(app.openapi(), documents)
        app.openapi = lambda: document  # type: ignore[method-assign]
    return app


def _merge(document: dict[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    for other in others:
        document["paths"] |= other["paths"]
        document.setdefault("components", {}).setdefault("schemas", {}).update(other["components"]["schemas"])
    return document


def _health(checks: Mapping[str, Check]) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/health/live", summary="The process runs")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/health/ready", summary="The service makes progress; 503 and what is wrong where it does not")
    async def ready() -> Response:
        results = {name: await check() for name, check in checks.items()}
        wrong = {name: what for name, what in results.items() if what}
        body: dict[str, Any] = {"status": "ok" if not wrong else "not ready"}
        body["checks"] = {name: what or "ok" for name, what in results.items()}
        if wrong:
            body["error"] = {
                "code": "not_ready",
                "message": "; ".join(f"{name}: {what}" for name, what in wrong.items()),
            }
        return JSONResponse(body, 503 if wrong else 200, {"cache-control": "no-store"})

    @router.get("/metrics", include_in_schema=False)
    async def metrics_page() -> Response:
        return Response(exposition.page(), media_type=exposition.CONTENT_TYPE)

    return router


def _answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    headers = {"cache-control": "no-store", **(headers or {})}
    return Response(error_body(code, message), status, headers, media_type="application/json")


async def _truycap_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, TruycapError)  # noqa: S101 - registered for this class
    if error.public_message:
        logger.error("request failed", code=error.code, error=error.message)
    return _answer(error.status, error.code, error.public_message or error.message, error.headers)


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return _answer(422, "invalid", f"{field}: {first['msg'][0].lower()}{first['msg'][1:]}")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = _CODES.get(error.status_code, "error")
    message = f"There is nothing at {request.url.path}" if error.status_code == 404 else str(error.detail)
    return _answer(error.status_code, code, message, error.headers)
