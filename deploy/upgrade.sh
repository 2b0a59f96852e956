#!/bin/sh
# A new version without losing an event, or refusing one: git pull, then deploy/upgrade.sh (docs/operations.md).
# What takes events and answers widgets is there twice for a moment; what counts may pause, for events wait in Redis.
set -eu
cd "$(dirname "$0")/.."

docker compose build --quiet migrate
docker compose run --rm migrate migrate --dry-run
docker compose up --detach --wait migrate redis clickhouse counter

for service in ingest api; do
  old=$(docker compose ps --quiet "$service")
  docker compose up --detach --wait --no-deps --no-recreate --scale "$service=$(($(echo "$old" | wc -l) * 2))" "$service"
  docker stop $old >/dev/null
  docker rm $old >/dev/null
done
docker compose up --detach --wait
docker compose run --rm truycap verify
