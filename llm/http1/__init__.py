"""The client that sends requests to upstreams: HTTP/1.1 on asyncio's protocols, parsed by llhttp (``httptools``)."""
