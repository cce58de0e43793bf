// Package systemd is what a service says to the service manager that started it, and takes from it: readiness, reloads, a watchdog
// and a status line by sd_notify(3), and listening sockets by sd_listen_fds(3). Where the environment names no service manager all
// of it does nothing, so that a program needs no second way of running.
package systemd
