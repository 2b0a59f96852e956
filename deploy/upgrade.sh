#!/bin/sh
# A new version without losing an event: git pull, then deploy/upgrade.sh (docs/operations.md). None is refused either,
# unless Redis itself must be started again, for a new image or a changed redis.conf.
# What takes events and answers widgets is there twice for a moment; what counts may pause, for events wait in Redis.
set -eu
cd "$(dirname "$0")/.."

how_many() { # containers of a service; one where none runs
  found=$(docker compose ps --quiet "$1" | wc -l)
  echo $((found > 0 ? found : 1))
}

docker compose build --quiet migrate
docker compose run --rm migrate migrate --dry-run
docker compose up --detach --wait --scale "counter=$(how_many counter)" migrate redis clickhouse counter

# Compose does not see that a file which a container has mounted was changed.
for service in redis clickhouse prometheus grafana gateway; do
  container=$(docker compose --profile ops ps --quiet "$service")
  [ -n "$container" ] || continue
  made=$(docker inspect --format '{{.Created}}' "$container")
  [ -z "$(find "deploy/$service" -newermt "$made")" ] \
    || docker compose up --detach --wait --no-deps --force-recreate "$service"
done

kept="--scale counter=$(how_many counter)"
for service in ingest api; do
  set -- $(docker compose ps --quiet "$service")
  docker compose up --detach --wait --no-deps --no-recreate --scale "$service=$(($# == 0 ? 1 : $# * 2))" "$service"
  [ $# -eq 0 ] || docker stop "$@" >/dev/null
  [ $# -eq 0 ] || docker rm "$@" >/dev/null
  kept="$kept --scale $service=$(how_many "$service")"
done
docker compose up --detach --wait $kept
docker compose run --rm truycap verify
