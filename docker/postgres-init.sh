#!/usr/bin/env bash
# Runs once, on an empty data folder: the roles and databases of the platform, as `datanika up`
# makes them. The application's role owns nothing, so row-level security binds it.
set -euo pipefail

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres --dbname postgres \
  --set owner_password="$DATANIKA_OWNER_PASSWORD" \
  --set app_password="$DATANIKA_APP_PASSWORD" \
  --set prefect_password="$PREFECT_DB_PASSWORD" <<'SQL'
SET password_encryption = 'scram-sha-256';

CREATE ROLE datanika_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE datanika_app LOGIN PASSWORD :'app_password';
CREATE ROLE datanika_system NOLOGIN;
GRANT datanika_system TO datanika_app WITH INHERIT FALSE, SET TRUE;
CREATE ROLE prefect LOGIN PASSWORD :'prefect_password';

CREATE DATABASE datanika OWNER datanika_owner;
CREATE DATABASE prefect OWNER prefect;

REVOKE ALL ON DATABASE postgres, template1, datanika, prefect FROM PUBLIC;
GRANT CONNECT ON DATABASE datanika TO datanika_app;
SQL
