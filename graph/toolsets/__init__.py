"""Where tools come from that are no functions of the author's: MCP servers, and documents of HTTP services."""
