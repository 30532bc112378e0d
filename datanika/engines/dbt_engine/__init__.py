"""dbt-core: builds and tests the project of a transform step."""
