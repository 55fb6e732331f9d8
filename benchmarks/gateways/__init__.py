"""What ``benchmarks.gateway`` runs beside each other: an upstream, a load, and the gateways between them."""
