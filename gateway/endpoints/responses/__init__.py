"""/v1/responses (https://platform.openai.com/docs/api-reference/responses) for every model and graph.

A request becomes a chat request (``request.py``), and what a graph says becomes items and events (``dialect.py``). The
state of the API is beside that: earlier items are put into the body before it is read, so that a body says all.
"""
