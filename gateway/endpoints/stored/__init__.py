"""Chat completions with ``store`` (https://platform.openai.com/docs/api-reference/chat/list): kept here, and looked at.

What is kept is what the client was told, under the id that it was told. So neither ``store: true`` nor the ``metadata``
beside it goes upstream: nobody could find there what an upstream keeps, and many upstreams refuse both.
"""
