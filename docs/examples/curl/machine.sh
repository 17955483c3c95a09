#!/bin/sh
# Composes a machine, switches it on, and deletes it again.
set -eu
api=http://127.0.0.1:5240/MAAS/api/2.0

call() {  # call METHOD PATH [CURL-OPTION ...]
  method=$1 path=$2
  shift 2
  printf 'Authorization: Bearer %s\n' "$INNKEEPER_KEY" |
    curl --silent --show-error --fail-with-body --request "$method" --header @- "$@" "$api/$path"
}

machine=$(call POST 'vm-hosts/farm-curl/?op=compose' \
  --data cores=1 --data memory=1024 --data storage=root:8 --data hostname=curl-web | jq -r .system_id)
call GET "machines/$machine/" | jq -r '"\(.hostname) \(.status_name)"'
call POST "machines/$machine/?op=power_on" | jq -r .power_state
call DELETE "machines/$machine/"
