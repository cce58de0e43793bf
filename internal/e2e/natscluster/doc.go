// Package natscluster runs NATS servers for tests: real processes of the version in go.mod, on loopback, that can be killed, paused
// and cut off from each other.
//
// Every server is reached through proxies only, by the others and by its clients, so that a partition needs neither root nor network
// namespaces, and works wherever the tests do. A server that is cut off keeps its process; what is on its way to it or from it is
// dropped silently, as by a cable that was pulled: connections stay open until who holds them finds them dead.
package natscluster
