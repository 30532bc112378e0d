"""Ad hoc actions on a connection: test it, look into it, read a few rows. Nothing is written."""
