"""dlt: from a source connection to staged, verified tables of a destination."""
