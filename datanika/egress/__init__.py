"""Outgoing connections on behalf of tenants: decided by one policy, pinned to what it decided on.

A name is resolved once per connection, every address it has is judged, and the connection goes to
one of exactly these addresses. Nothing looks the name up again in between (DNS rebinding).

``guard.EgressGuard`` decides; ``client.egress_client`` is httpx behind it; the engines pin libpq
and requests to what it answers.
"""
