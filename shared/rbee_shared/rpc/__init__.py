"""gRPC edges: servers, channels, context, errors."""
