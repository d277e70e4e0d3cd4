"""The application: routes, errors and static files."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from mcp.server.transport_security import TransportSecuritySettings
from starlette.exceptions import HTTPException

import ragkit
from ragkit.errors import RagkitError
from ragkit.serve import asking, compatible, library, operate, tools
from ragkit.serve.failures import Refusal, error, told
from ragkit.serve.guard import RequestGuard, Rules
from ragkit.serve.service import PAGE, Service

_NAMED = 3  # mistakes of a request that its error names


def application(service: Service, rules: Rules | None = None) -> FastAPI:
    """The server of *service*, which it closes when it ends; *rules* say who is let in."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        service.warm_up()
        async with agents.session_manager.run():
            yield
        await service.close()

    rules = rules or Rules()
    agents = tools.server(service)
    # the guard checks hosts and origins, of all requests
    unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    mounted = agents.streamable_http_app(transport_security=unchecked)
    app = FastAPI(
        title="ragkit",
        version=ragkit.__version__,
        summary="Answers over a corpus of papers, with checked citations.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        dependencies=[Security(HTTPBearer(auto_error=False))]
        if rules.keys
        else [],  # described; the guard checks
    )
    app.include_router(asking.routes(service))
    app.include_router(library.routes(service))
    app.include_router(operate.routes(service))
    framed = bool(service.framed_by) and rules.keys is None  # a frame sends no key
    app.include_router(compatible.routes(service, "/v1", service.open_webui, framed))
    app.include_router(compatible.routes(service, "/open-webui/v1", open_webui=True, framed=framed))

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(PAGE / "index.html")

    app.router.routes.extend(mounted.routes)
    app.mount("/static", StaticFiles(directory=PAGE), name="static")
    app.add_middleware(RequestGuard, rules=rules, limits=service.limits)
    app.add_exception_handler(Refusal, _failed)
    app.add_exception_handler(RagkitError, _failed)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _not_served)
    return app


async def _failed(_: Request, failure: Exception) -> Response:
    found = told(failure)
    headers = failure.headers if isinstance(failure, Refusal) else None
    return JSONResponse(found.as_json(), found.status, headers)


async def _not_understood(_: Request, failure: Exception) -> Response:
    assert isinstance(failure, RequestValidationError)
    mistakes = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in failure.errors()]
    more = f" and {len(mistakes) - _NAMED} more" if len(mistakes) > _NAMED else ""
    return JSONResponse(error(422, "invalid_request", f"{'; '.join(mistakes[:_NAMED])}{more}"), 422)


async def _not_served(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, HTTPException)
    if isinstance(failure.__cause__, OSError):  # the body could not be kept
        return await _failed(request, failure.__cause__)
    code = {404: "not_found", 405: "method_not_allowed"}.get(failure.status_code, "invalid_request")
    said = error(failure.status_code, code, str(failure.detail))
    return JSONResponse(said, failure.status_code, failure.headers)
