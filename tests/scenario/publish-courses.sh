#!/usr/bin/env bash
# The scheduled job: publishes every approved course that starts within a week (or has started already).
#
#   publish-courses.sh [CREDENTIALS]     CREDENTIALS defaults to writ-data/demo.json
#
# CREDENTIALS is JSON: token_endpoint, client_id, client_secret, scope, and `ca` (PEM) where the server's certificate
# is self-signed. COURSES_API is the API's address (default http://localhost:3000). Needs bash, curl, jq, GNU date.
# Exits 0 when every due course was published (none due is fine), else 1 with the reason on stderr.
set -euo pipefail

credentials=${1:-writ-data/demo.json}
courses_api=${COURSES_API:-http://localhost:3000}

fail() {
  echo "publish-courses: $*" >&2
  exit 1
}

[ -r "$credentials" ] || fail "cannot read credentials: $credentials"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# One request; prints the body. Any status but 2xx ends the job with what the server said. Secrets and tokens reach
# curl by --config on a file descriptor, so they show in no process list.
request() {
  local what=$1 status
  shift
  status=$(curl --silent --show-error --max-time 30 --output "$scratch/body" --write-out '%{http_code}' "$@") \
    || fail "$what: no answer"
  case $status in
    2??) cat "$scratch/body" ;;
    *) fail "$what: $status $(jq -r '[.error, .error_description] | map(values) | join(": ")' "$scratch/body" 2>/dev/null \
      || head -c 300 "$scratch/body")" ;;
  esac
}

trust=()
if jq -e '.ca // empty' "$credentials" >/dev/null; then
  jq -r .ca "$credentials" >"$scratch/ca.pem"
  trust=(--cacert "$scratch/ca.pem")
fi

answer=$(request 'token request' "${trust[@]}" \
  --config <(jq -r '"url = \(.token_endpoint | tojson)",
    "data-urlencode = \("client_id=" + .client_id | tojson)",
    "data-urlencode = \("client_secret=" + .client_secret | tojson)",
    "data-urlencode = \("scope=" + .scope | tojson)"' "$credentials") \
  --data grant_type=client_credentials)
token=$(jq -er .access_token <<<"$answer") || fail 'token request: the answer has no access_token'

api() {
  local what=$1
  shift
  request "$what" --config <(printf 'header = "Authorization: Bearer %s"\n' "$token") "$@"
}

approved=$(api 'list of approved courses' "$courses_api/api/courses?status=approved")
week_from_now=$(date -d 'now + 7 days' +%s)

while IFS=$'\t' read -r id start name; do
  [ -n "$id" ] || continue
  starts_at=$(date -d "$start" +%s) || fail "course $id: bad start date: $start"
  if ((starts_at < week_from_now)); then
    api "publishing course $id" --request PATCH --json '{"status":"published"}' "$courses_api/api/courses/$id" >/dev/null
    echo "published: $name (starts $start)"
  else
    echo "not yet: $name (starts $start)"
  fi
done < <(jq -r '.[] | [.id, .started_date, .name] | @tsv' <<<"$approved")
