"""Pages: functions that return components. One file a route."""
