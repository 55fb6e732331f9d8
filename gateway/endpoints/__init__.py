"""The endpoints, one file an API. Hot ones are plain ASGI, the rest are FastAPI routes."""
