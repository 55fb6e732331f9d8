"""POST /v1/messages, Anthropic's API, onto any model and any graph; and the counting of its tokens."""
