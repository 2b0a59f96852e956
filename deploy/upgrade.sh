#!/bin/sh
# A new version without losing an event: git pull, then deploy/upgrade.sh (docs/operations.md). None is refused either,
# unless Redis or the gateway has to start again. What takes events and answers widgets is there twice for a moment; what
# counts may pause, for events wait in Redis. As many of each go on as run now, also where only --scale said so.
set -eu
cd "$(dirname "$0")/.."

# Starts those again whose folder in deploy/ was changed since they started: Compose does not look into what it mounts.
configure() {
  for service; do
    container=$(docker compose ps --quiet "$service")
    [ -n "$container" ] || continue
    started=$(docker inspect --format '{{.State.StartedAt}}' "$container")
    [ -z "$(find "deploy/$service" -newerct "$started")" ] ||
      docker compose up --detach --wait --no-deps --force-recreate "$service"
  done
}

# --scale for those of these services that run.
scale() {
  for service; do
    set -- $(docker compose ps --quiet "$service")
    [ $# -eq 0 ] || echo "--scale $service=$#"
  done
}

docker compose build --quiet migrate
docker compose run --rm migrate migrate --dry-run
docker compose up --detach --wait redis clickhouse
configure redis clickhouse
docker compose up --detach --wait $(scale counter) migrate counter

for service in ingest api; do
  docker compose rm --force "$service"
  set -- $(docker compose ps --quiet "$service")
  [ $# -gt 0 ] || continue
  docker compose up --detach --wait --no-deps --no-recreate --scale "$service=$(($# * 2))" "$service"
  docker stop "$@" >/dev/null
  docker rm "$@" >/dev/null
done
docker compose up --detach --wait $(scale ingest counter api)
configure gateway prometheus grafana
docker compose run --rm truycap verify
