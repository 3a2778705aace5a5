#!/bin/sh
# Makes a data folder with an earlier version of Postern, so that a newer one can be
# tried over it: messages, a cancelled and a recalled one, a failed alert, a replay, a
# pause that still holds, an erasure, opened mail. Needs git, Go, curl and jq.
#
#   tools/olddata.sh REVISION DIR     # for example: tools/olddata.sh 8a63f63 /tmp/old
#   bin/postern up --demo --data DIR  # then: /readyz, verify, rebuild --check, replay status
set -eu

revision=$1 data=$2 listen=127.0.0.1:18099
work=$(mktemp -d)
git worktree add -q --detach "$work/source" "$revision"
server=
finish() {
	[ -z "$server" ] || { kill -INT "$server" 2>/dev/null && wait "$server" || true; }
	git worktree remove --force "$work/source"
	rm -rf "$work"
}
trap finish EXIT

(cd "$work/source" && go build -o "$work/postern" ./cmd/postern)
"$work/postern" up --demo --data "$data" --listen "$listen" >"$work/up.log" 2>&1 &
server=$!
until grep -q '^ready ' "$work/up.log"; do
	kill -0 "$server" || { cat "$work/up.log" >&2; exit 1; }
	sleep 0.2
done

postern() { "$work/postern" "$@" --data "$data"; }
token() { postern token create --staff "$1"; }
admin=$(token admin@clinic.example.test)
postern staff create --email second@clinic.example.test --name 'Second Admin' --permit manage_staff,read_record >/dev/null
second=$(token second@clinic.example.test)

# api TOKEN METHOD PATH [JSON [HEADER]]
api() {
	curl -sS --fail-with-body -X "$2" "http://$listen$3" -H "Authorization: Bearer $1" -H 'Content-Type: application/json' \
		${4:+-d "$4"} ${5:+-H "$5"}
}
send() { # KEY SUBJECT RECIPIENTS UNDO
	api "$admin" POST /v1/messages '{"subject":"'"$2"'","body":"Please read this.","recipients":'"$3"',"undo_seconds":'"$4"'}' "Idempotency-Key: $1" | jq -r .id
}
settled() { # ID: all alerts have an outcome
	until [ "$(api "$admin" GET "/v1/messages/$1" | jq '.progress | .delivered > 0 and .alerted + .alert_failed + .alert_skipped + .alert_unknown == .delivered')" = true ]; do sleep 0.2; done
}

# One address that SendGrid refuses.
printf 'portal_user_id,name,email,active\nodd-1,Odette Odd,odette@odd-.example,true\n' >"$work/portal_users.csv"
postern import csv "$work/portal_users.csv" >/dev/null
everybody='{"groups":["all_portal_users"]}' one='{"portal_user_ids":["odd-1"]}'

plain=$(send plain 'Opening hours' "$everybody" 0)
settled "$plain"
failed=$(send failed 'Your letter' "$one" 0)
settled "$failed"
cancelled=$(send cancelled 'Too early' "$everybody" 600)
api "$admin" POST "/v1/messages/$cancelled/cancel" >/dev/null
recalled=$(send recalled 'The wrong file' "$everybody" 0)
settled "$recalled"
api "$admin" POST "/v1/messages/$recalled/recall" '{"reason":"The wrong file was attached"}' >/dev/null
erased=$(send erased 'To be erased' "$everybody" 0)
settled "$erased"
erasure=$(api "$admin" POST /v1/erasures '{"message_id":"'"$erased"'","reason":"Sent to the wrong people"}' | jq -r .id)
api "$second" POST "/v1/erasures/$erasure/approve" >/dev/null
replay=$(api "$admin" POST /v1/replays '{"filter":{"state":["failed","unknown"]},"reason":"The address was corrected"}' | jq -r .id)
api "$admin" POST "/v1/replays/$replay/start" >/dev/null

curl -sS -c "$work/cookies" "http://$listen/v1/portal/session" -H 'Content-Type: application/json' \
	-d '{"email":"denis.schmitt@example.test","password":"paper-boat-harbour"}' >/dev/null
curl -sS -b "$work/cookies" "http://$listen/v1/portal/messages/$plain" >/dev/null

# What a pause holds when the old version stops.
api "$admin" POST /v1/alerting/pause '{"reason":"Maintenance"}' >/dev/null
held=$(send held 'Held by a pause' "$everybody" 0)
until [ "$(api "$admin" GET "/v1/messages/$held" | jq '.progress.delivered > 0')" = true ]; do sleep 0.2; done
echo "made $data with $revision: plain $plain, failed $failed, cancelled $cancelled, recalled $recalled, erased $erased, held $held, replay $replay"
