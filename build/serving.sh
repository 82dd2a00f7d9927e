# Sourced by scripts that start a server on this machine: finding a free port, and waiting until the server answers.
# Nothing but bash is needed for it.

# free_port 6962: the first port from there on that nobody listens on.
free_port() {
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    printf '%s\n' "$port"
}

# is_ready HOST:PORT: whether a server there answers 200 to /readyz.
is_ready() {
    local status
    { exec 3<>"/dev/tcp/${1%:*}/${1#*:}"; } 2>/dev/null || return 1
    printf 'GET /readyz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$1" >&3
    read -r -t 5 _ status _ <&3 || status=0
    exec 3>&-
    [ "$status" = 200 ]
}

# await_ready HOST:PORT PID SECONDS: false when that process ends or the time is over first.
await_ready() {
    local tries
    for ((tries = 0; tries < $3 * 10; tries++)); do
        ! is_ready "$1" || return 0
        kill -0 "$2" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}
