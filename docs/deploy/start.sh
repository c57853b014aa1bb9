#!/usr/bin/env bash
# Two servers, two workers and a proxy on this machine, over one PostgreSQL database.
#
#   RUNYARD_DATABASE=postgresql://runyard@127.0.0.1/runyard docs/deploy/start.sh [FOLDER]
#
# Everything is kept in FOLDER (./runyard-fleet unless given) and ends with this script. It starts each
# part once; what dies stays dead, so that you can watch the others go on. Ports: PROXY_PORT (8080),
# A_PORT (7071) and B_PORT (7072). Needs `runyard` and `nginx` on the PATH.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
home=$(realpath -m "${1:-runyard-fleet}")
proxy_port=${PROXY_PORT:-8080} a_port=${A_PORT:-7071} b_port=${B_PORT:-7072}
url=http://127.0.0.1:$proxy_port
chosen_database=${RUNYARD_DATABASE:-}


main() {
    mkdir -p "$home"/{a,b,one,two,shared,log,run}
    chmod 711 "$home" "$home"/one "$home"/two # children of workers have users of their own
    make_master_key
    trap stop EXIT
    trap 'exit 0' INT TERM
    start_server a "$a_port"
    until_ready "http://127.0.0.1:$a_port"
    start_server b "$b_port"
    until_ready "http://127.0.0.1:$b_port"
    start_proxy
    until_ready "$url"
    make_worker_token
    start_worker one
    start_worker two
    echo "Runyard answers at $url"
    echo "Administrator token: $home/a/admin.token"
    echo "Ctrl-C stops it."
    wait
}

make_master_key() {
    [ -s "$home/shared/master.key" ] && return
    (umask 077 && od -An -tx1 -N32 /dev/urandom | tr -d ' \n' >"$home/shared/master.key")
}

start_server() { # NAME PORT
    (
        settings "$here/server.env" "$here/server-$1.env"
        export RUNYARD_DATABASE=${chosen_database:-$RUNYARD_DATABASE}
        export RUNYARD_DATA=$home/$1 RUNYARD_PORT=$2 RUNYARD_PUBLIC_URL=$url
        export RUNYARD_MASTER_KEY=$home/shared/master.key
        exec runyard serve
    ) >"$home/log/server-$1.log" 2>&1 &
    echo $! >"$home/run/server-$1.pid"
}

start_proxy() {
    sed -e "s/127\.0\.0\.1:8080/127.0.0.1:$proxy_port/" -e "s/127\.0\.0\.1:7071/127.0.0.1:$a_port/" \
        -e "s/127\.0\.0\.1:7072/127.0.0.1:$b_port/" "$here/runyard.nginx.conf" >"$home/runyard.conf"
    cat >"$home/nginx.conf" <<CONF
daemon off;
pid $home/run/nginx.master;
error_log $home/log/nginx.log;
events { worker_connections 4096; }
http {
    log_format servers '\$request_method \$uri \$status \$upstream_addr';
    access_log $home/log/access.log servers;
    client_body_temp_path $home/run/body;
    proxy_temp_path $home/run/proxy;
    fastcgi_temp_path $home/run/fastcgi;
    uwsgi_temp_path $home/run/uwsgi;
    scgi_temp_path $home/run/scgi;
    include $home/runyard.conf;
}
CONF
    nginx -e "$home/log/nginx.log" -c "$home/nginx.conf" &
    echo $! >"$home/run/proxy.pid"
}

make_worker_token() {
    [ -s "$home/worker.token" ] && return
    if [ ! -s "$home/a/admin.token" ]; then
        echo "This database is not new: put an administrator's token into $home/a/admin.token" >&2
        exit 1
    fi
    (
        umask 077
        export RUNYARD_URL=$url RUNYARD_TOKEN
        RUNYARD_TOKEN=$(cat "$home/a/admin.token")
        runyard token create worker --installation --join --name fleet >"$home/worker.token"
    )
}

start_worker() { # NAME
    (
        settings "$here/worker.env"
        export RUNYARD_URL=$url RUNYARD_WORKER_TOKEN_FILE=$home/worker.token
        export RUNYARD_WORKER_DATA=$home/$1
        exec runyard worker --name "$1" --slots 2
    ) >"$home/log/worker-$1.log" 2>&1 &
    echo $! >"$home/run/worker-$1.pid"
}

settings() { # FILE...
    local file
    set -a
    for file in "$@"; do . "$file"; done
    set +a
}

until_ready() { # URL
    local try
    for try in $(seq 300); do
        curl --silent --fail --max-time 5 --noproxy '*' --output /dev/null "$1/readyz" && return
        [ -n "$(jobs -pr)" ] || break
        sleep 0.2
    done
    echo "$1 does not answer; the logs are in $home/log" >&2
    exit 1
}

stop() {
    # Workers first: they hand back what does not end in time while there are servers to take it.
    trap - EXIT
    local group
    for group in "worker-one worker-two" "server-a server-b" "proxy"; do
        end $group
    done
}

end() { # NAME...
    local name
    for name in "$@"; do
        [ -s "$home/run/$name.pid" ] && kill "$(cat "$home/run/$name.pid")" 2>/dev/null || true
    done
    for name in "$@"; do
        [ -s "$home/run/$name.pid" ] && wait "$(cat "$home/run/$name.pid")" 2>/dev/null || true
        rm -f "$home/run/$name.pid"
    done
}

main
