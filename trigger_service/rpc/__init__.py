"""gRPC: translate, call a use-case, translate back; and the client side towards the runner."""
