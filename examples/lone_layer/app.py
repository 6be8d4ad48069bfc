"""An app that answers chat requests itself, with one of our layers in its own middleware list."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_gateway.backends import MemoryStorage
from asgi_gateway.middleware import RateLimit, RateLimitMiddleware


async def answer(request):
    question = (await request.json())["messages"][-1]["content"]
    message = {"role": "assistant", "content": question[::-1]}
    return JSONResponse({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


async def home(request):
    return JSONResponse({"limited": False})


app = Starlette(
    routes=[Route("/", home), Route("/v1/chat/completions", answer, methods=["POST"])],
    middleware=[
        Middleware(
            RateLimitMiddleware,
            windows=MemoryStorage().windows,
            rules=[RateLimit(per="address", requests="3/minute")],
        )
    ],
)
