#!/bin/sh
# Run once by PostgreSQL's image, on an empty volume: the issuer's own role and database.
# The image's superuser would pass by row-level security, which keeps tenants apart.
set -eu
psql --set=ON_ERROR_STOP=1 --set=password="$POSTGRES_PASSWORD" <<'SQL'
CREATE ROLE apostille LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'password';
CREATE DATABASE apostille OWNER apostille;
SQL
