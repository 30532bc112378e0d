"""What the two wings say to each other: pure, frozen data. Imports nothing but pydantic."""
