// Package examples shows clients of several protocols over tlstfo: Redis, PostgreSQL, WebSocket, net/http and SMTP. Each is a test that runs against a server in the same
// process, which tells what of a connection came as early data, so that it proves what never does.
//
// It is a module of its own, so that the clients' libraries are no dependencies of tlstfo:
//
//	go -C examples test -v ./...
package examples
